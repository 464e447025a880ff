"""One sample's scene before it is rendered: camera, light, and where the object is at every frame.

Everything that is not an attribute (camera position, position and turn of the object, light) varies a little and
independently of the attributes, so that it says nothing about them.

Legend: P instants, F frames.
"""

from dataclasses import dataclass

import numpy as np

from raybind.construction.tiny_vidal.shapes import BOTTOM, FACING_YAW, Poses
from raybind.construction.tiny_vidal.world import Composition

Array = np.ndarray

RADIUS_METRES = {"small": 0.50, "medium": 0.56, "large": 0.62}
DISTANCE_METRES = {"near": 2.7, "midway": 3.05, "far": 3.4}
NUM_BEFORE = 3
"""Instants before the first frame, whose traces make the motion visible in a still."""
_FOCAL = 1.3
"""Focal length in image widths (a view of 42 degrees)."""


@dataclass(frozen=True)
class Scene:
    """Camera, light and poses of one sample."""

    composition: Composition
    origin: Array
    """(3,) camera centre, metres, world"""
    directions: Array
    """(size * size, 3) float32 rays, one per pixel in row-major order, one metre long along the optical axis"""
    focal_px: float
    poses: Poses
    """P = `NUM_BEFORE` + F instants"""
    light: Array
    """(3,) unit vector towards the light"""
    brightness: float
    sign_margin: tuple[float, float]
    """Of the signs, in image sides from the nearer side and from the bottom"""
    has_motion_sign: bool
    """Whether a still carries the sign of the motion"""


def draw_scene(composition: Composition, rng: np.random.Generator, size_px: int, num_frames: int) -> Scene:
    """Draw everything that the attributes leave open."""
    origin = np.array([rng.uniform(-0.12, 0.12), rng.uniform(1.0, 1.3), rng.uniform(-0.1, 0.1)], np.float32)
    poses = _poses(composition, rng, num_frames)
    target = poses.centre[NUM_BEFORE:].mean(0) + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    light = np.array([rng.uniform(-0.7, 0.7), 1.0, rng.uniform(-1.1, -0.6)])
    return Scene(
        composition=composition,
        origin=origin,
        directions=_rays(origin, target, rng.normal(0, 0.02), size_px),
        focal_px=_FOCAL * size_px,
        poses=poses,
        light=(light / np.linalg.norm(light)).astype(np.float32),
        brightness=float(rng.uniform(0.92, 1.08)),
        sign_margin=(float(rng.uniform(0.01, 0.06)), float(rng.uniform(0.01, 0.06))),
        has_motion_sign=bool(rng.random() < 0.5),
    )


def _rays(origin: Array, target: Array, roll: float, size_px: int) -> Array:
    """Rays of a pinhole camera at `origin` that looks at `target`, turned by `roll` radians about its axis."""
    forward = (target - origin) / np.linalg.norm(target - origin)
    right = np.cross([np.sin(roll), np.cos(roll), 0], forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    steps = ((np.arange(size_px) + 0.5) / size_px - 0.5) / _FOCAL
    across, down = np.meshgrid(steps, steps)
    return (forward + across[..., None] * right - down[..., None] * up).reshape(-1, 3).astype(np.float32)


def _poses(composition: Composition, rng: np.random.Generator, num_frames: int) -> Poses:
    offset, roll, scale = _move(composition.motion, rng, num_frames)
    radius = RADIUS_METRES[composition.size] * rng.uniform(0.96, 1.04) * scale
    yaw = FACING_YAW.get(composition.shape, 0.0) + rng.uniform(-0.2, 0.2)
    place = [rng.uniform(-0.12, 0.12), 0, DISTANCE_METRES[composition.distance] + rng.uniform(-0.1, 0.1)]
    centre = place + offset * radius.mean()
    centre[:, 1] += BOTTOM[composition.shape] * radius
    return Poses(centre.astype(np.float32), _rotations(yaw, roll + rng.normal(0, 0.04)), radius.astype(np.float32))


def _move(motion: str, rng: np.random.Generator, num_frames: int) -> tuple[Array, Array, Array]:
    """Offset (P, 3) in radii, roll (P,) in radians and scale (P,) of a motion; one period lasts all frames."""
    frame = np.arange(-NUM_BEFORE, num_frames)
    phase = 2 * np.pi * (frame / num_frames + rng.random())
    side = rng.choice([-1, 1])
    offset, roll, scale = np.zeros((len(frame), 3)), np.zeros(len(frame)), np.ones(len(frame))
    match motion:
        case "sliding":
            offset[:, 0] = 0.7 * np.sin(phase)
        case "bouncing":
            offset[:, 1] = 0.9 * abs(np.sin(phase))
        case "circling":
            offset[:, 0], offset[:, 1] = 0.55 * side * np.cos(phase), 0.55 + 0.55 * np.sin(phase)
        case "swinging":
            roll = 0.8 * np.sin(phase)
            offset[:, 0], offset[:, 1] = -0.5 * np.sin(phase), 0.4 * np.sin(phase) ** 2
        case "pulsing":
            scale = 1 + 0.35 * np.sin(phase)
        case "climbing":
            done = frame / max(num_frames - 1, 1)
            offset[:, 0], offset[:, 1] = 1.2 * side * (done - 0.5), np.maximum(1.1 * done, -0.1)
        case "shaking":
            offset[:, 0], roll = 0.28 * (-1.0) ** frame, 0.2 * side * (-1.0) ** frame
    return offset, roll, scale


def _rotations(yaw: float, roll: Array) -> Array:
    """(P, 3, 3) float32: roll about the line of sight after yaw about the vertical."""
    cos, sin, zero, one = np.cos(roll), np.sin(roll), np.zeros_like(roll), np.ones_like(roll)
    rolling = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).reshape(-1, 3, 3)
    turning = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return (rolling @ turning).astype(np.float32)
