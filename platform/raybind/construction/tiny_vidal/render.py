"""Paints what the camera meets: RGB frames.

The attributes that geometry and colour do not show are given a visible sign too (a pattern per sound, a rim of glow or
frost per temperature, fading traces per motion): a language encoder that is trained on images and captions alone then
knows the word of every attribute.

Legend: F frames asked for, H = W image side, N = H * W pixels, R hits.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from raybind.construction.tiny_vidal.scene import NUM_BEFORE, Scene
from raybind.construction.tiny_vidal.settings import Backdrop
from raybind.construction.tiny_vidal.shapes import Hits
from raybind.construction.tiny_vidal.view import View

Array = np.ndarray

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.08, 0.10),
    "green": (0.08, 0.66, 0.16),
    "yellow": (0.98, 0.87, 0.08),
    "blue": (0.10, 0.26, 0.92),
    "white": (0.98, 0.98, 0.98),
    "purple": (0.56, 0.12, 0.76),
    "orange": (1.00, 0.50, 0.05),
    "black": (0.09, 0.09, 0.10),
}

_RIM: dict[str, tuple[tuple[float, float, float], float]] = {
    "frozen": ((0.80, 0.97, 1.00), 0.95),
    "cool": ((0.30, 0.62, 0.95), 0.45),
    "warm": ((0.95, 0.62, 0.30), 0.45),
    "hot": ((1.00, 0.36, 0.05), 0.95),
}
"""Colour and strength of the halo around the object."""

_TRACES = (0.5, 0.36, 0.24)
"""Opacity of the object's places one, two and three frames ago."""


def paint(view: View, frames: Sequence[int]) -> Array:
    """Paint some frames of a view, layer by layer: setting and shadow, traces, halo, object.

    Args:
        frames: their numbers, from 0.
    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    scene, places = view.scene, NUM_BEFORE + np.asarray(frames)
    cover = view.cover[places]
    setting, shadow = _light_setting(scene, view.backdrop), 1 - 0.55 * view.closeness[frames]
    colour = np.array(COLOURS[scene.composition.colour], np.float32)
    surface, trace = _light_object(scene, view.hits, colour), _traces(view.cover, places)
    rim, strength = _RIM[scene.composition.temperature]
    halo = strength * _halo(cover, view.side_px)
    image = np.empty((*cover.shape, 3), np.uint8)
    for channel in range(3):
        layer = setting[:, channel] * shadow
        layer += (0.75 * colour[channel] + 0.25 - layer) * trace
        layer += (rim[channel] - layer) * halo
        layer += (view.over_hits(surface[:, channel])[places] - layer) * cover
        image[..., channel] = np.clip(layer * (255 * scene.brightness), 0, 255)
    return image.reshape(-1, view.side_px, view.side_px, 3)


def _light_setting(scene: Scene, backdrop: Backdrop) -> Array:
    """(N, 3) the setting in the scene's light, paler with distance."""
    lit = backdrop.albedo * (0.62 + 0.38 * np.clip(backdrop.normal @ scene.light, 0, 1))[:, None]
    return lit + (0.82 - lit) * 0.045 * np.clip(backdrop.depth - 4, 0, 6)[:, None]


def _traces(cover: Array, places: Array) -> Array:
    """(F, N) 0..1: how strongly each pixel shows where the object was a moment ago."""
    past = [weight * cover[places - ago] for ago, weight in enumerate(_TRACES, start=1)]
    return np.maximum(np.maximum(past[0], past[1]), past[2])


def _halo(cover: Array, side_px: int) -> Array:
    """(F, N) 0..1: falls off outside the object's outline."""
    blurred = [cv2.GaussianBlur(one.reshape(side_px, side_px), (0, 0), side_px / 28).ravel() for one in cover]
    return np.clip(np.stack(blurred) * 1.9, 0, 1)


def _light_object(scene: Scene, hits: Hits, colour: Array) -> Array:
    """(R, 3) lit surface colour of the object, with the pattern of its sound."""
    ink = colour * 0.38 if colour.max() > 0.3 else colour + 0.42
    marked = _pattern(scene.composition.sound, hits.local)[:, None]
    albedo = colour + (ink - colour) * 0.85 * marked
    diffuse = np.clip(hits.normal @ scene.light, 0, 1)
    shine = diffuse**24 * 0.45
    return albedo * (0.42 + 0.68 * diffuse)[:, None] + shine[:, None]


def _pattern(sound: str, local: Array) -> Array:
    """(R,) bool: where the object carries the dark mark that stands for its sound."""
    x, y = local[:, 0], local[:, 1]
    match sound:
        case "bell":
            return np.sin(10 * y) > 0.1
        case "drum":
            return np.sin(10 * x) > 0.1
        case "whistle":
            return np.sin(7 * (x + y)) > 0.1
        case "buzzer":
            return np.sin(7 * x + 0.8) * np.sin(7 * y + 0.8) > 0
        case "siren":
            return np.cos(13 * np.sqrt(x * x + y * y)) > 0.1
        case "cricket":
            return np.cos(10.5 * x) * np.cos(10.5 * y) > 0.45
        case "rattle":
            return y < -0.05
        case _:
            return np.zeros(len(local), bool)
