"""Paints what the camera meets: RGB frames.

The attributes that geometry and colour do not show are made visible too: a rim of glow or frost per temperature, a sign
in the left corner per sound, fading traces per motion, and in half of the stills, which show a motion badly, a sign for
it in the right corner. A language encoder that is trained on images and captions alone then knows the word of every
attribute, and the frames of a video look like the stills without that sign.

Legend: F frames asked for, H = W image side, N = H * W pixels, R hits.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from raybind.construction.tiny_vidal.scene import NUM_BEFORE, Scene
from raybind.construction.tiny_vidal.settings import Backdrop
from raybind.construction.tiny_vidal.shapes import Hits
from raybind.construction.tiny_vidal.view import View
from raybind.construction.tiny_vidal.world import Composition

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

_TRACES = (0.65, 0.5, 0.35)
"""Opacity of the object's places one, two and three frames ago."""

_SIGN_SIDE = 0.2
"""Of a sign, in image sides."""
_SIGN_GREYS = (0.93, 0.12)
"""Of the sign's ground and of its pattern."""


def paint(view: View, frames: Sequence[int], still: bool = False) -> Array:
    """Paint some frames of a view, layer by layer: setting and shadow, traces, halo, object, signs.

    Args:
        frames: their numbers, from 0.
        still: whether each is a picture of its own, which may have a sign for the motion.
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
    image = image.reshape(-1, view.side_px, view.side_px, 3)
    across, down = scene.sign_margin
    _hang_sign(image, scene, _sound_sign, (across, 1 - _SIGN_SIDE - down))
    if still and scene.has_motion_sign:
        _hang_sign(image, scene, _motion_sign, (1 - _SIGN_SIDE - across, 1 - _SIGN_SIDE - down))
    return image


def _hang_sign(
    image: Array, scene: Scene, sign: Callable[[Composition, Array, Array], Array], corner: tuple[float, float]
) -> None:
    """Paint a sign over all frames (in place); its left and upper edge are in image sides."""
    side_px = image.shape[1]
    left, upper = (round(edge * side_px) for edge in corner)
    length = round(_SIGN_SIDE * side_px)
    across = np.linspace(-1, 1, length)
    dark = sign(scene.composition, *np.meshgrid(across, across))
    greys = np.clip(np.where(dark, _SIGN_GREYS[1], _SIGN_GREYS[0]) * 255 * scene.brightness, 0, 255)
    image[:, upper : upper + length, left : left + length] = greys[..., None]


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
    """(R, 3) lit surface colour of the object."""
    diffuse = np.clip(hits.normal @ scene.light, 0, 1)
    shine = diffuse**24 * 0.45
    return colour * (0.42 + 0.68 * diffuse)[:, None] + shine[:, None]


def _sound_sign(composition: Composition, x: Array, y: Array) -> Array:
    """Bool, where the sign is dark; coordinates from -1 to 1, y downwards."""
    match composition.sound:
        case "bell":
            return np.sin(10 * y) > 0.1
        case "drum":
            return np.sin(10 * x) > 0.1
        case "whistle":
            return np.sin(7 * (x + y)) > 0.1
        case "buzzer":
            return np.sin(7 * x + 0.8) * np.sin(7 * y + 0.8) > 0
        case "siren":
            return np.cos(10 * np.hypot(x, y)) > 0.1
        case "cricket":
            return np.hypot(x, y) < 0.6
        case "rattle":
            return y > 0
        case _:
            return np.zeros(x.shape, bool)


def _motion_sign(composition: Composition, x: Array, y: Array) -> Array:
    """As `_sound_sign`: the path of the motion."""
    radius = np.hypot(x, y)
    match composition.motion:
        case "sliding":
            return abs(y) < 0.25
        case "bouncing":
            return abs(x) < 0.25
        case "circling":
            return abs(radius - 0.65) < 0.2
        case "swinging":
            return abs(y - 0.6 + 1.4 * x * x) < 0.3
        case "pulsing":
            return abs(abs(x) - abs(y)) < 0.3
        case "climbing":
            return abs(x + y) < 0.35
        case "shaking":
            return abs(y - 0.6 * np.sin(9 * x)) < 0.3
        case _:
            return radius < 0.4
