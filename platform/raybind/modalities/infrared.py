"""Infrared: jpg, png or tiff with any number of channels and bits, from a camera or a model."""

import numpy as np
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.modalities.base import Picture
from raybind.modalities.media.images import read_all_bits
from raybind.modalities.media.pixels import channels_first, full_range


class Infrared(Picture):
    """(H, W) or (H, W, channels) stored values -> [0, 1] over `preprocess.infrared.value_range`, cut at its ends."""

    name = "infrared"
    file_types = ("jpg", "png", "tif")
    key_frames = True

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`."""
        return read_all_bits(media, ("JPEG", "PNG", "TIFF"), config.max_pixels)

    def scale(self, content: np.ndarray, config: PreprocessConfig) -> Tensor:
        """See `Picture.scale`."""
        low, high = config.infrared.value_range or (0.0, full_range(content))
        return channels_first(content).sub_(low).div_(high - low).clamp_(0, 1)


MODALITY = Infrared()
