"""Values, sizes and crops of pictures.

Legend: C channels (1 or 3), H height, W width.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.model.input_shape import InputShape

MAX_ASPECT_RATIO = 50
"""Long edge over short edge: the centre of a longer picture would show 2 % of it and take memory as its length."""


def channels_first(content: np.ndarray) -> Tensor:
    """One or three channels of a picture in grey, grey with alpha, RGB or RGB with alpha; alpha is left out.

    Args:
        content: (H, W), or (H, W, 1 to 4), any numeric type.
    Returns: (C, H, W) float32, values as they were.
    Raises: DataError: another shape, or a value that is not finite.
    """
    if content.ndim == 2:
        content = content[..., None]
    if content.ndim != 3 or content.shape[2] not in (1, 2, 3, 4) or 0 in content.shape:
        raise DataError(
            f"a picture has height, width and 1 to 4 channels; this one has the shape {content.shape}",
            cause="number of channels",
        )
    kept = content[..., : 1 if content.shape[2] < 3 else 3]
    if np.issubdtype(kept.dtype, np.floating) and not np.isfinite(kept).all():
        raise DataError("the picture holds values that are not finite", cause="value is not finite")
    # The cast comes first: torch has no arithmetic on 16-bit unsigned integers.
    return torch.from_numpy(kept.astype(np.float32)).permute(2, 0, 1)


def full_range(content: np.ndarray) -> float:
    """The value that means 1: 255 for 8 bits, 65535 for 16, 1 for floating point.

    Raises: DataError: another type, or floating-point values outside [0, 1].
    """
    if content.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(content.dtype).max)
    if not np.issubdtype(content.dtype, np.floating):
        raise DataError(
            f"pixels of type {content.dtype}; read are 8 and 16 bits and floating point", cause="pixel type"
        )
    low, high = (content.min(), content.max()) if content.size else (0, 0)
    if low < 0 or high > 1:
        raise DataError(
            f"floating-point pixels from {low:g} to {high:g} have no full range; scale them to [0, 1], or for infrared "
            "set preprocess.infrared.value_range",
            cause="pixel type",
        )
    return 1.0


def resize_and_crop(
    pixels_CHW: Tensor, shape: InputShape, config: PreprocessConfig, mode: Literal["bicubic", "bilinear"]
) -> Tensor:
    """Resize the short edge, the long one in proportion and rounded down, then cut out what `config.crop` says.

    Returns: (C, shape.height, shape.width).
    Raises: DataError: the picture is so long and thin that resizing it would take far more memory than the picture.
    """
    height, width = pixels_CHW.shape[1:]
    shortest = min(height, width)
    if max(height, width) > MAX_ASPECT_RATIO * shortest:
        raise DataError(
            f"a picture of {width} x {height} pixels is longer than {MAX_ASPECT_RATIO} times its short edge",
            cause="aspect ratio",
        )
    short_edge = config.short_edge or min(shape.height, shape.width)
    size = (short_edge * height // shortest, short_edge * width // shortest)
    if size != (height, width):
        pixels_CHW = F.interpolate(pixels_CHW[None], size, mode=mode, antialias=config.antialias)[0]
    left_over = (size[0] - shape.height, size[1] - shape.width)
    top, left = (round(pixels / 2) for pixels in left_over)
    if config.crop != "centre":
        share = 0 if config.crop == "start" else 1
        top, left = (share * left_over[0], left) if height > width else (top, share * left_over[1])
    return pixels_CHW[:, top : top + shape.height, left : left + shape.width]
