"""What a modality is: how its stored media become the encoder's input, and how it is asked about in words."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import ConfigError
from raybind.modalities.media.pixels import resize_and_crop
from raybind.model.input_shape import InputShape


class Modality(ABC):
    """One modality. Subclasses are stateless; parameters come with each call."""

    name: ClassVar[str]
    file_types: ClassVar[tuple[str, ...]]
    """What a shard may hold, by suffix."""
    key_frames: ClassVar[bool] = False
    """Whether a sample holds up to eight pictures, `<frame>.<type>`, instead of one file."""
    photo_words: ClassVar[str] = "photo"
    """What stands for "photo" in OpenCLIP's prompt templates (LanguageBind, Appendix B: depth photo, video, sound;
    infrared stays photo)."""

    @abstractmethod
    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """What a media file holds, in the units of the modality's own docstring.

        Raises: DataError: what is wrong with the bytes.
        """

    @abstractmethod
    def prepare(
        self,
        content: np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Turn what `decode` returns, or an array of the user's own, into the encoder's input.

        Args:
            generator: for what is drawn in training; None (evaluation, inference) draws nothing.
        Returns: `shape.array` float32.
        Raises: DataError: the content is not what the modality holds.
        """

    def transform(
        self, media: bytes, shape: InputShape, config: PreprocessConfig, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """From a media file to the encoder's input; arguments, result and errors as `decode` and `prepare`."""
        return self.prepare(self.decode(media, config), shape, config, generator)

    def input_shape(self, image_size: int, config: PreprocessConfig) -> InputShape:
        """What the encoder of this modality is fed, for a base that looks at square images of `image_size` pixels.

        Raises: ConfigError: the picture is resized to less than what is cropped from it.
        """
        if config.short_edge is not None and config.short_edge < image_size:
            raise ConfigError(
                f"preprocess.short_edge={config.short_edge} is less than the {image_size} pixels that the encoder "
                "looks at; set it to that or more, or to null"
            )
        return InputShape(image_size, image_size)

    def check_header(self, media: bytes) -> None:  # noqa: B027 (most modalities have nothing to add)
        """Refuse, before it is packed, a file of a right type that this modality cannot read; nothing is decoded.

        Types that `data.media_headers` does not know by their first bytes are told here alone.

        Raises: DataError: why.
        """


class Picture(Modality):
    """A modality of still pictures: scaled to [0, 1], short edge resized, centre cropped, normalised as CLIP has it."""

    @abstractmethod
    def scale(self, content: np.ndarray, config: PreprocessConfig) -> Tensor:
        """(H, W) or (H, W, channels) as decoded to (C, H, W) float32 in [0, 1], C = 1 or 3. Raises: DataError."""

    def prepare(
        self,
        content: np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """See `Modality.prepare`; nothing is drawn."""
        pixels = resize_and_crop(self.scale(content, config), shape, config, "bicubic")
        return normalise(pixels.expand(3, -1, -1), config).numpy()


def normalise(pixels_CHW: Tensor, config: PreprocessConfig) -> Tensor:
    """Subtract the mean and divide by the standard deviation, per channel; leading dimensions are free."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    return (pixels_CHW - mean) / std
