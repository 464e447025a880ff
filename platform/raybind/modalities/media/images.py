"""Still pictures: their headers are checked before a pixel is decoded, and a picture that is not whole is refused."""

import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from raybind.errors import DataError
from raybind.modalities.media.whole import check_not_empty, check_whole

_DEEP_COLOUR_FORMATS = ("PNG", "TIFF")
"""Formats that can hold more than 8 bits in several channels, of which Pillow keeps the upper 8."""


def open_image(media: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Open an image of the formats named (Pillow's names) and decode it. Raises: DataError: why it cannot be."""
    image = _open_header(media, formats, max_pixels)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        raise _unreadable(formats, error) from None
    # Pillow reads a png whose last bytes are missing.
    check_whole(media)
    return image


def read_all_bits(media: bytes, formats: tuple[str, ...], max_pixels: int) -> np.ndarray:
    """Decode an image of the formats named (Pillow's names) with every bit it holds.

    Returns: (H, W) or (H, W, 3) as stored (uint8, uint16, float32 and others); palettes become RGB, alpha is left out.
    Raises: DataError: why it cannot be.
    """
    image = _open_header(media, formats, max_pixels)
    if image.format not in _DEEP_COLOUR_FORMATS:
        return np.asarray(to_rgb(open_image(media, formats, max_pixels)))
    check_whole(media)
    try:
        pixels = cv2.imdecode(np.frombuffer(media, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _unreadable(formats, error) from None
    if pixels is None:
        raise _unreadable(formats, "its contents cannot be decoded")
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 2::-1])


def to_rgb(image: Image.Image) -> Image.Image:
    """Grey stays what it is, of 8 or 16 bits; everything else becomes RGB."""
    if image.mode.startswith("I") or image.mode == "L":
        return image
    return image.convert("RGB")


def _open_header(media: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    check_not_empty(media)
    try:
        image = Image.open(io.BytesIO(media), formats=formats)
    except Image.DecompressionBombError as error:
        raise DataError(f"the picture is too large: {error}", cause="too many pixels") from None
    except UnidentifiedImageError:
        raise _unreadable(formats, "its header is of none that is read") from None
    except (OSError, SyntaxError, ValueError, MemoryError) as error:
        raise _unreadable(formats, error) from None
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"a picture of {width} x {height} pixels is more than preprocess.max_pixels={max_pixels}",
            cause="too many pixels",
        )
    return image


def _unreadable(formats: tuple[str, ...], reason: object) -> DataError:
    return DataError(f"not a readable {' or '.join(formats)} image: {reason}", cause="undecodable media")
