"""Depth: 16-bit greyscale png in millimetres, 0 where the sensor saw nothing."""

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Modality, open_image

MIN_DEPTH_METRES = 0.01
"""Nearer (and missing) values become this (official code)."""


class Depth(Modality):
    """Metres over the maximum depth, as one channel (LanguageBind, Appendix C: at most 10 m)."""

    name = "depth"
    photo_words = "depth photo"

    def decode(self, media: bytes, config: PreprocessConfig) -> Tensor:
        """See `Modality.decode`."""
        image = open_image(media, formats=("PNG",))
        if image.mode not in ("I;16", "I;16B", "I"):
            raise DataError(
                f"depth must be 16-bit greyscale png in millimetres, this image has mode {image.mode!r}",
                cause="undecodable media",
            )
        metres = torch.from_numpy(np.asarray(image).astype(np.float32)) / 1000
        return metres.clamp(MIN_DEPTH_METRES, config.max_depth_metres)[None] / config.max_depth_metres


MODALITY = Depth()
