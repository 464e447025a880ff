"""Video: frames of a clip; the sound of the file is not heard."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Modality, standardised
from raybind.modalities.media.clips import frame_numbers, read_frames
from raybind.modalities.media.pixels import channels_first, full_range, resize_and_crop
from raybind.model.input_shape import InputShape


class Video(Modality):
    """(frames, H, W, 3) RGB, 8 bits (or floating point in [0, 1]) -> T frames, resized, cropped, normalised.

    The official code normalises first and resizes then; resizing is linear and its weights add up to one, so the order
    changes nothing beyond rounding (1e-6), and this one takes less memory.
    """

    name = "video"
    file_types = ("mp4", "webm", "mkv", "avi")
    photo_words = "video"

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`; returns the frames that are looked at. `decode_and_prepare` holds one at a time."""
        return np.stack(list(read_frames(media, config)))

    def prepare(
        self,
        content: np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """See `Modality.prepare`; any number of frames, of which the encoder sees as many as it is made for."""
        if content.ndim != 4 or len(content) == 0:
            raise DataError(
                f"a clip has frames, height, width and channels; this has the shape {content.shape}",
                cause="wrong shape",
            )
        return _prepare(content[frame_numbers(len(content), config.video.num_frames)], shape, config, generator)

    def normalise(self, prepared: Tensor, config: PreprocessConfig) -> Tensor:
        """See `Modality.normalise`."""
        return standardised(prepared, config, num_dims=3)

    def decode_and_prepare(
        self, media: bytes, shape: InputShape, config: PreprocessConfig, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """See `Modality.decode_and_prepare`: each frame is resized as it is decoded."""
        return _prepare(read_frames(media, config), shape, config, generator)

    def input_shape(self, image_size: int, config: PreprocessConfig) -> InputShape:
        """See `Modality.input_shape`."""
        square = super().input_shape(image_size, config)
        return InputShape(square.height, square.width, config.video.num_frames)


def _prepare(
    frames: Iterable[np.ndarray], shape: InputShape, config: PreprocessConfig, generator: np.random.Generator | None
) -> np.ndarray:
    flip = generator is not None and config.video.flip and generator.random() < 0.5
    clip_CTHW = torch.empty(3, config.video.num_frames, shape.height, shape.width)
    for place, frame in enumerate(frames):
        pixels = _resized(frame, shape, config)
        clip_CTHW[:, place] = pixels.flip(-1) if flip else pixels
    return clip_CTHW.numpy()


def _resized(frame: np.ndarray, shape: InputShape, config: PreprocessConfig) -> Tensor:
    pixels = channels_first(frame).div_(full_range(frame))
    return resize_and_crop(pixels, shape, config, "bilinear")


MODALITY = Video()
