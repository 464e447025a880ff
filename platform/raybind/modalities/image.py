"""Image: jpg or png in any colour mode, read as RGB."""

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.modalities.base import Modality, open_image


class RgbImage(Modality):
    """RGB in [0, 1]."""

    name = "image"

    def decode(self, media: bytes, config: PreprocessConfig) -> Tensor:
        """See `Modality.decode`."""
        image = open_image(media, formats=("JPEG", "PNG")).convert("RGB")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


MODALITY = RgbImage()
