"""What a modality is: how its stored media become the encoder's input, and how it is asked about in words."""

import io
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.model.input_shape import InputShape


class Modality(ABC):
    """One modality. Subclasses are stateless; parameters come with each call."""

    name: ClassVar[str]
    photo_words: ClassVar[str] = "photo"
    """What stands for "photo" in OpenCLIP's prompt templates (LanguageBind, Appendix B)."""

    @abstractmethod
    def decode(self, media: bytes, config: PreprocessConfig) -> Tensor:
        """Decode one media file.

        Returns: (C, H, W) float32 in [0, 1], C = 1 or 3.
        Raises: DataError: what is wrong with the bytes.
        """

    def input_shape(self, image_size: int, config: PreprocessConfig) -> InputShape:
        """What the encoder of this modality is fed, for a base that looks at square images of `image_size` pixels."""
        return InputShape(image_size, image_size)

    def transform(
        self, media: bytes, shape: InputShape, config: PreprocessConfig, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Decode, resize the short edge, crop the centre and normalise.

        Args:
            generator: for what is drawn in training; None (evaluation, inference) draws nothing.
        Returns: `shape.array` float32.
        Raises: DataError: the media cannot be decoded.
        """
        pixels = resize_and_crop(self.decode(media, config), shape.height, config)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
        return ((pixels.expand(3, -1, -1) - mean) / std).numpy()


def resize_and_crop(pixels_CHW: Tensor, image_size: int, config: PreprocessConfig) -> Tensor:
    """Bicubic resize of the short edge, then the centre square. Returns (C, image_size, image_size)."""
    height, width = pixels_CHW.shape[1:]
    short_edge = config.short_edge or image_size
    scale = short_edge / min(height, width)
    size = (max(short_edge, int(height * scale)), max(short_edge, int(width * scale)))
    if size != (height, width):
        pixels_CHW = F.interpolate(pixels_CHW[None], size, mode="bicubic", antialias=config.antialias)[0]
    top, left = (round((length - image_size) / 2) for length in size)
    return pixels_CHW[:, top : top + image_size, left : left + image_size]


def open_image(media: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Open an image of the formats named (Pillow's names) and decode it. Raises: DataError: why it cannot be."""
    try:
        image = Image.open(io.BytesIO(media), formats=formats)
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"not a readable {' or '.join(formats)} image: {error}", cause="undecodable media") from None
    return image
