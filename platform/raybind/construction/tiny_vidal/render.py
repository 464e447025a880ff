"""Renders a scene: RGB frames, the z-buffer, and what a thermal camera would see.

One ray marching serves all modalities, so they are aligned to the pixel. The attributes that geometry and colour do
not show are given a visible sign too (a pattern per sound, a rim of glow or frost per temperature, fading traces per
motion): a language encoder that is trained on images and captions alone then knows the word of every attribute.

Legend: F frames, H = W image side, N = H * W pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from raybind.construction.tiny_vidal.scene import NUM_BEFORE, Scene
from raybind.construction.tiny_vidal.settings import Backdrop, see
from raybind.construction.tiny_vidal.shapes import Hits, march

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

_HEAT = {"frozen": 0.03, "cool": 0.22, "warm": 0.66, "hot": 0.95}
"""Thermal grey level of the object, 0..1; the surroundings are near 0.42. The scale is absolute: no gain control."""
_AMBIENT_HEAT = 0.42
_TRACES = (0.5, 0.36, 0.24)
"""Opacity of the object's places one, two and three frames ago."""


@dataclass(frozen=True)
class Frames:
    """What the three cameras see."""

    rgb: Array
    """(F, H, W, 3) uint8"""
    depth_mm: Array
    """(F, H, W) uint16 millimetres along the optical axis; 0 = missing"""
    infrared: Array
    """(F, H, W) uint8, absolute thermal grey level"""


def render(scene: Scene, rng: np.random.Generator) -> Frames:
    """Render all frames of a scene; `rng` draws sensor noise."""
    side = round(len(scene.directions) ** 0.5)
    backdrop = see(scene.composition.setting, scene.origin, scene.directions)
    hits = march(scene.composition.shape, scene.poses, scene.origin, scene.directions, scene.focal_px)
    cover = np.zeros((len(scene.poses.radius), side * side), np.float32)
    cover[hits.pose, hits.ray] = hits.coverage
    closeness = _closeness(scene, backdrop)
    return Frames(
        rgb=_rgb(scene, backdrop, hits, cover, closeness).reshape(-1, side, side, 3),
        depth_mm=_depth(backdrop, hits, rng, cover).reshape(-1, side, side),
        infrared=_infrared(scene, backdrop, hits, cover, closeness, rng).reshape(-1, side, side),
    )


def _rgb(scene: Scene, backdrop: Backdrop, hits: Hits, cover: Array, closeness: Array) -> Array:
    """(F, N, 3) uint8. Layer by layer, channel by channel: setting and shadow, traces, halo, object."""
    frames = cover[NUM_BEFORE:]
    setting = _light_setting(scene, backdrop)
    colour = np.array(COLOURS[scene.composition.colour], np.float32)
    paint = _paint(scene, hits, colour)
    shadow, trace = 1 - 0.55 * closeness, _traces(cover)
    rim, strength = _RIM[scene.composition.temperature]
    halo = strength * _halo(frames)
    image = np.empty((*frames.shape, 3), np.uint8)
    surface = np.zeros_like(cover)
    for channel in range(3):
        layer = setting[:, channel] * shadow
        layer += (0.75 * colour[channel] + 0.25 - layer) * trace
        layer += (rim[channel] - layer) * halo
        surface[hits.pose, hits.ray] = paint[:, channel]
        layer += (surface[NUM_BEFORE:] - layer) * frames
        image[..., channel] = np.clip(layer * (255 * scene.brightness), 0, 255)
    return image


def _light_setting(scene: Scene, backdrop: Backdrop) -> Array:
    """(N, 3) the setting in the scene's light, paler with distance."""
    lit = backdrop.albedo * (0.62 + 0.38 * np.clip(backdrop.normal @ scene.light, 0, 1))[:, None]
    return lit + (0.82 - lit) * 0.045 * np.clip(backdrop.depth - 4, 0, 6)[:, None]


def _traces(cover: Array) -> Array:
    """(F, N) 0..1: how strongly each pixel shows where the object was a moment ago."""
    trace = np.zeros_like(cover[NUM_BEFORE:])
    for ago, weight in enumerate(_TRACES, start=1):
        np.maximum(trace, weight * cover[NUM_BEFORE - ago : len(cover) - ago], out=trace)
    return trace


def _closeness(scene: Scene, backdrop: Backdrop) -> Array:
    """(F, N) 0..1: how near each surface point of the setting is to the object, for its shadow and its warmth."""
    poses = scene.poses
    centre = poses.centre[NUM_BEFORE:, None] - (0, 0.5, 0) * poses.radius[NUM_BEFORE:, None, None]
    points, centre = backdrop.points, centre[:, 0].astype(np.float32)
    square = (points * points).sum(1) - 2 * centre @ points.T + (centre * centre).sum(1)[:, None]
    return np.exp(-square / (0.75 * poses.radius[NUM_BEFORE:, None] ** 2))


def _halo(frames: Array) -> Array:
    """(F, N) 0..1: falls off outside the object's outline."""
    side = round(frames.shape[1] ** 0.5)
    width = side / 28
    blurred = [cv2.GaussianBlur(frame.reshape(side, side), (0, 0), width).ravel() for frame in frames]
    return np.clip(np.stack(blurred) * 1.9, 0, 1)


def _paint(scene: Scene, hits: Hits, colour: Array) -> Array:
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


def _depth(backdrop: Backdrop, hits: Hits, rng: np.random.Generator, cover: Array) -> Array:
    """(F, N) uint16; one pixel in 500 is missing."""
    depth = np.broadcast_to(backdrop.depth, cover.shape).copy()
    solid = hits.coverage >= 0.5
    depth[hits.pose[solid], hits.ray[solid]] = hits.depth[solid]
    millimetres = np.rint(depth[NUM_BEFORE:] * 1000).astype(np.uint16)
    lost = rng.integers(millimetres.size, size=millimetres.size // 500)
    millimetres.reshape(-1)[lost] = 0
    return millimetres


def _infrared(
    scene: Scene, backdrop: Backdrop, hits: Hits, cover: Array, closeness: Array, rng: np.random.Generator
) -> Array:
    """(F, N) uint8. Warmth is highest (or lowest) at the object's core and spreads to what is near it.

    The surroundings are in thermal equilibrium and show nothing of the setting, so that a setting's partners in
    training cannot stand in for the object's shape.
    """
    heat, frames = _HEAT[scene.composition.temperature], cover[NUM_BEFORE:]
    image = _AMBIENT_HEAT + (heat - _AMBIENT_HEAT) * 0.3 * closeness + rng.uniform(-0.03, 0.03)
    facing = np.clip(-(hits.normal * scene.directions[hits.ray]).sum(1), 0, 1)
    surface = np.zeros_like(cover)
    surface[hits.pose, hits.ray] = _AMBIENT_HEAT + (heat - _AMBIENT_HEAT) * (0.78 + 0.22 * facing)
    image += (surface[NUM_BEFORE:] - image) * frames
    image += 0.012 * rng.standard_normal(image.shape, np.float32)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
