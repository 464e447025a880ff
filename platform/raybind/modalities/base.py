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
    prepared_channels: ClassVar[int] = 3
    """Of what `prepare` returns: 1 where three would be the same, so that readers send a third of the bytes."""
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
        """Turn what `decode` returns, or an array of the user's own, into what is left to `normalise`.

        Args:
            generator: for what is drawn in training; None (evaluation, inference) draws nothing.
        Returns: float32, `shape.array` with 1 or 3 channels, `prepared_channels` at most.
        Raises: DataError: the content is not what the modality holds.
        """

    def normalise(self, prepared: Tensor, config: PreprocessConfig) -> Tensor:
        """The last part of the way to the encoder's input, which training leaves to the encoder's device.

        Args:
            prepared: what `prepare` returned, or a batch of it. Not changed.
        Returns: (*shape.array) float32, or (B, *shape.array).
        """
        return prepared

    def decode_and_prepare(
        self, media: bytes, shape: InputShape, config: PreprocessConfig, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """What readers of training data do with a file; arguments, result and errors as `decode` and `prepare`."""
        return self.prepare(self.decode(media, config), shape, config, generator)

    def transform(
        self,
        media: bytes | np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """From a media file, or an array as `decode` returns it, to the encoder's input, `shape.array` float32.

        Arguments and errors as `decode` and `prepare`.
        """
        prepare = self.prepare if isinstance(media, np.ndarray) else self.decode_and_prepare
        prepared = prepare(media, shape, config, generator)  # pyright: ignore[reportArgumentType]
        return self.normalise(torch.from_numpy(prepared), config).numpy()

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
        return resize_and_crop(self.scale(content, config), shape, config, "bicubic").numpy()

    def normalise(self, prepared: Tensor, config: PreprocessConfig) -> Tensor:
        """See `Modality.normalise`."""
        return standardised(prepared, config, num_dims=2)


def standardised(pixels: Tensor, config: PreprocessConfig, num_dims: int) -> Tensor:
    """Subtract the mean and divide by the standard deviation, per channel; one channel becomes three.

    Args:
        num_dims: dimensions after that of the channels.
    """
    mean, std = (
        torch.tensor(values, device=pixels.device).view(3, *(1,) * num_dims) for values in (config.mean, config.std)
    )
    out = None
    if pixels.device.type == "cpu":
        # numpy asks the kernel for large pages, torch does not: a large batch takes a sixth of the time.
        out = torch.from_numpy(np.empty(torch.broadcast_shapes(pixels.shape, mean.shape), dtype=np.float32))
    return torch.sub(pixels, mean, out=out).div_(std)
