"""Image: jpg or png in any colour mode, read as RGB."""

import numpy as np
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.modalities.base import Picture
from raybind.modalities.media.images import open_image, to_rgb
from raybind.modalities.media.pixels import channels_first, full_range


class RgbImage(Picture):
    """(H, W) grey or (H, W, 3) RGB, 8 or 16 bits (or floating point in [0, 1]) -> [0, 1]. Alpha is left out."""

    name = "image"
    file_types = ("jpg", "png")

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`; every colour mode is read, where the official code takes RGB alone."""
        return np.asarray(to_rgb(open_image(media, ("JPEG", "PNG"), config.max_pixels)))

    def scale(self, content: np.ndarray, config: PreprocessConfig) -> Tensor:
        """See `Picture.scale`."""
        return channels_first(content).div_(full_range(content))


MODALITY = RgbImage()
