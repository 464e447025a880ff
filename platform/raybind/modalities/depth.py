"""Depth: 16-bit greyscale png in millimetres, 0 where the sensor saw nothing."""

import struct

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Picture
from raybind.modalities.media.images import open_image

MIN_DEPTH_METRES = 0.01
"""Nearer (and missing) values become this (official code)."""

_PNG_COLOURS = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGB with alpha"}


class Depth(Picture):
    """(H, W) millimetres, missing as 0 or NaN -> metres over the maximum depth (LanguageBind, Appendix C)."""

    name = "depth"
    file_types = ("png",)
    key_frames = True
    prepared_channels = 1
    photo_words = "depth photo"

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`."""
        image = open_image(media, ("PNG",), config.max_pixels)
        if image.mode not in ("I;16", "I;16B", "I"):
            raise DataError(
                f"depth must be 16-bit greyscale png in millimetres, this image has mode {image.mode!r}",
                cause="undecodable media",
            )
        return np.asarray(image)

    def scale(self, content: np.ndarray, config: PreprocessConfig) -> Tensor:
        """See `Picture.scale`."""
        if content.ndim != 2 or 0 in content.shape:
            raise DataError(f"depth has height and width; this has the shape {content.shape}", cause="wrong shape")
        # NaN is what drivers give where the sensor saw nothing.
        metres = torch.from_numpy(content.astype(np.float32)).nan_to_num_(nan=0.0).div_(1000)
        limit = config.depth.max_metres or max(metres.max().item(), MIN_DEPTH_METRES)
        return metres.clamp(MIN_DEPTH_METRES, limit)[None] / limit

    def check_header(self, media: bytes) -> None:
        """See `Modality.check_header`."""
        if len(media) < 26:
            raise DataError("png header cut short", cause="png header cut short")
        bits, colour = struct.unpack_from(">BB", media, 24)
        if (bits, colour) != (16, 0):
            found = f"{bits}-bit {_PNG_COLOURS.get(colour, 'unknown')}"
            cause = f"depth needs a 16-bit greyscale png, this is {found}"
            raise DataError(cause, cause)


MODALITY = Depth()
