"""The eight shapes as signed distance functions, and the ray marching that finds their surfaces.

Local coordinates: x right, y up, z away from the camera; every shape lies within the unit ball and has a silhouette
of its own from the front, since a small encoder sees an object through about sixteen patches.

Legend: R rays, P poses of the object (frames).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_BOUND = 1.04
_STEPS = 22
_HIT = 0.004
"""Distance from the surface that counts as touching it, in units of the object's radius."""


def _box(x: Array, y: Array, z: Array, half: tuple[float, float, float], rounding: float = 0.04) -> Array:
    qx, qy, qz = (abs(axis) - (side - rounding) for axis, side in zip((x, y, z), half, strict=True))
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2 + np.maximum(qz, 0) ** 2)
    return outside + np.minimum(np.maximum(np.maximum(qx, qy), qz), 0) - rounding


def _ball(x: Array, y: Array, z: Array) -> Array:
    return np.sqrt(x * x + y * y + z * z) - 0.86


def _cube(x: Array, y: Array, z: Array) -> Array:
    return _box(x, y, z, (0.6, 0.6, 0.6))


def _cone(x: Array, y: Array, z: Array) -> Array:
    side = np.sqrt(x * x + z * z) * 0.906 + (y - 0.98) * 0.423
    return np.maximum(side, -0.72 - y)


def _ring(x: Array, y: Array, z: Array) -> Array:
    around = np.sqrt(x * x + y * y) - 0.72
    return np.sqrt(around * around + z * z) - 0.24


def _cross(x: Array, y: Array, z: Array) -> Array:
    return np.minimum(_box(x, y, z, (0.94, 0.27, 0.27)), _box(x, y, z, (0.27, 0.94, 0.27)))


def _star(x: Array, y: Array, z: Array) -> Array:
    turn = 2 * np.pi / 5
    angle = np.mod(np.arctan2(x, y) + turn / 2, turn) - turn / 2
    radius = np.sqrt(x * x + y * y)
    across, along = abs(np.sin(angle)) * radius, np.cos(angle) * radius
    edge = (along - 0.98) * 0.45 + across * 0.893
    return np.maximum(edge, (abs(z) - 0.42 + 0.36 * radius) * 0.92)


def _dumbbell(x: Array, y: Array, z: Array) -> Array:
    aside = abs(x) - 0.55
    balls = np.sqrt(aside * aside + y * y + z * z) - 0.45
    bar = np.maximum(np.sqrt(y * y + z * z) - 0.16, abs(x) - 0.55)
    return np.minimum(balls, bar)


def _mushroom(x: Array, y: Array, z: Array) -> Array:
    up = (y - 0.02) / 0.95
    cap = np.maximum((np.sqrt(x * x + up * up + z * z) - 0.92) * 0.95, 0.02 - y)
    stem = np.maximum(np.sqrt(x * x + z * z) - 0.25, abs(y + 0.42) - 0.44)
    return np.minimum(cap, stem)


SHAPES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "ring": _ring,
    "cross": _cross,
    "star": _star,
    "dumbbell": _dumbbell,
    "mushroom": _mushroom,
}

BOTTOM = {
    "ball": 0.86,
    "cube": 0.6,
    "cone": 0.72,
    "ring": 0.96,
    "cross": 0.94,
    "star": 0.8,
    "dumbbell": 0.45,
    "mushroom": 0.86,
}
"""How far a shape reaches below its centre, in radii."""

FACING_YAW = {"cube": 0.6}
"""Turn about the vertical axis at which a shape shows itself best, radians; others face the camera."""


@dataclass(frozen=True)
class Poses:
    """Where the object is at each of P instants."""

    centre: Array
    """(P, 3) metres, world"""
    rotation: Array
    """(P, 3, 3) local to world"""
    radius: Array
    """(P,) metres"""


@dataclass(frozen=True)
class Hits:
    """The rays that meet the object or pass within a pixel of it."""

    pose: Array
    """(R,) int, which instant"""
    ray: Array
    """(R,) int, which pixel"""
    coverage: Array
    """(R,) 0..1: the part of the pixel the object covers (below one at its outline)"""
    depth: Array
    """(R,) metres along the optical axis"""
    normal: Array
    """(R, 3) unit normal, world"""


def march(shape: str, poses: Poses, origin: Array, directions: Array, focal_px: float) -> Hits:
    """Meet the object with the camera's rays at every pose.

    Args:
        origin: (3,) camera centre, metres.
        directions: (R, 3) float32 ray directions whose component along the optical axis is one, so that the ray
            parameter is the depth in metres.
        focal_px: focal length, pixels.
    """
    distance = SHAPES[shape]
    pose, ray, start, slope, entry, leave = _meet_bounds(poses, origin, directions)
    nearest, at_nearest = _approach(distance, start, slope, entry, leave)
    pixels = (nearest - _HIT) * poses.radius[pose] * focal_px / at_nearest
    coverage = np.clip(1 - pixels, 0, 1)
    kept = coverage > 0.02
    local = start[kept] + slope[kept] * at_nearest[kept, None]
    normal = np.matmul(poses.rotation[pose[kept]], _gradient(distance, local)[..., None])[..., 0]
    return Hits(pose[kept], ray[kept], coverage[kept], at_nearest[kept], normal)


def _approach(
    distance: Callable[[Array, Array, Array], Array], start: Array, slope: Array, entry: Array, leave: Array
) -> tuple[Array, Array]:
    """Sphere tracing: the smallest distance to the surface along each ray (R,), and the depth where it occurs (R,)."""
    stride = 1 / np.sqrt((slope * slope) @ np.ones(3, np.float32))
    nearest, at_nearest = np.full(len(entry), np.inf, np.float32), entry.copy()
    walking, along = np.arange(len(entry)), entry
    for _ in range(_STEPS):
        gap = distance(*(start[walking] + slope[walking] * along[:, None]).T)
        closer = gap < nearest[walking]
        nearest[walking[closer]], at_nearest[walking[closer]] = gap[closer], along[closer]
        along = along + gap * stride[walking]
        going = (gap > _HIT) & (along < leave[walking])
        walking, along = walking[going], along[going]
    return nearest, at_nearest


def _meet_bounds(poses: Poses, origin: Array, directions: Array) -> tuple[Array, ...]:
    """Rays that enter the object's bounding ball, in local coordinates: pose, ray, start, slope, entry, leave."""
    apart = (origin - poses.centre) / poses.radius[:, None]
    half = apart @ directions.T / poses.radius[:, None]
    square = (directions * directions) @ np.ones(3, np.float32) / poses.radius[:, None] ** 2
    root = half * half - square * ((apart * apart).sum(1)[:, None] - _BOUND**2)
    pose, ray = np.nonzero(root > 0)
    square, half, root = square[pose, ray], half[pose, ray], np.sqrt(root[pose, ray])
    into_local = np.swapaxes(poses.rotation, 1, 2)
    starts = np.einsum("pij,pj->pi", into_local, apart)
    slopes = np.concatenate(
        [directions[ray[pose == p]] @ (into_local[p].T / radius) for p, radius in enumerate(poses.radius)]
    )
    return pose, ray, starts[pose], slopes, (-half - root) / square, (-half + root) / square


def _gradient(distance: Callable[[Array, Array, Array], Array], points: Array) -> Array:
    """Unit normals from four distances around each point (tetrahedron differences)."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    normal = np.stack([distance(*(points + 0.01 * corner).T) for corner in corners], 1) @ corners
    return normal / np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), 1e-6)
