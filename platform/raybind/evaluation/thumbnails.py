"""What an encoder sees of an item, as a picture for people."""

import cv2
import matplotlib
import numpy as np
import torch

from raybind.config.data import PreprocessConfig

_SIDE = 160
"""Pixels of the square that a spectrogram is stretched to."""


def thumbnail(pixel_values: np.ndarray, modality: str, preprocess: PreprocessConfig) -> np.ndarray:
    """Undo the normalisation.

    Args:
        pixel_values: (3, H, W) float32, or (3, T, H, W), of which the middle frame is shown.
    Returns: (H, W, 3) uint8. Depth and sound are coloured by value, low frequencies at the bottom.
    """
    if modality == "audio":
        mel = pixel_values[0]
        spread = max(float(np.ptp(mel)), 1e-6)
        square = cv2.resize((mel - mel.min()) / spread, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return _coloured(square[::-1], "magma")
    if pixel_values.ndim == 4:
        pixel_values = pixel_values[:, pixel_values.shape[1] // 2]
    mean, std = (torch.tensor(values)[:, None, None].numpy() for values in (preprocess.mean, preprocess.std))
    picture = (pixel_values * std + mean).clip(0, 1)
    if modality == "depth":
        return _coloured(picture[0], "viridis")
    return (255 * picture).round().astype(np.uint8).transpose(1, 2, 0)


def _coloured(values: np.ndarray, name: str) -> np.ndarray:
    return (255 * matplotlib.colormaps[name](values)[..., :3]).round().astype(np.uint8)
