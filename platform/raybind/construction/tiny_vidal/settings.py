"""The eight settings: where the object stands, as surfaces that rays meet analytically, with their looks.

A setting is a room of half-spaces (floor, walls, slopes, a far end), in some with steps or columns put in. Everything
lies within ten metres, so every ray has a depth, and nothing stands where the objects move (nearer than 4.3 m, less
than 1.2 m from the middle).

World coordinates: x right, y up from the floor, z away from the camera, metres. Legend: R rays.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_FAR = 9.0
_FLOOR, _SIDE, _BACK, _EXTRA = range(4)
_RISE = 0.2
"""Height of a step, metres."""


@dataclass(frozen=True)
class Backdrop:
    """What the camera sees without the object, one entry per ray."""

    depth: Array
    """(R,) metres along the optical axis"""
    points: Array
    """(R, 3) metres, world"""
    normal: Array
    """(R, 3) unit normals towards the camera's side"""
    albedo: Array
    """(R, 3) RGB, 0..1, before lighting"""


_Plane = tuple[tuple[float, float, float], float, int]
"""Normal, n . p at the plane, and which kind of surface it is."""

_GROUND: _Plane = ((0, 1, 0), 0.0, _FLOOR)


def _end(z: float) -> _Plane:
    return ((0, 0, -1), -z, _BACK)


def _sides(x: float, tilt: float = 0.0) -> list[_Plane]:
    """Two walls at +-x on the floor; `tilt` is the tangent by which they lean outwards."""
    length = float(np.hypot(1, tilt))
    return [((-1 / length, tilt / length, 0), -x / length, _SIDE), ((1 / length, tilt / length, 0), -x / length, _SIDE)]


def _corner(apex_z: float) -> list[_Plane]:
    slant = float(np.sqrt(0.5))
    return [((slant, 0, -slant), -slant * apex_z, _SIDE), ((-slant, 0, -slant), -slant * apex_z, _BACK)]


_ROOMS: dict[str, list[_Plane]] = {
    "wall": [_GROUND, _end(4.6)],
    "tunnel": [_GROUND, _end(_FAR)],
    "stairs": [_GROUND, _end(7.4)],
    "plain": [_GROUND, _end(_FAR)],
    "corner": [_GROUND, *_corner(6.3)],
    "pillars": [_GROUND, _end(7.8)],
    "corridor": [_GROUND, *_sides(1.25), ((0, -1, 0), -2.1, _EXTRA), _end(_FAR)],
    "valley": [_GROUND, *_sides(0.75, 1.3), _end(_FAR)],
}

_COLOURS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "wall": ((0.46, 0.43, 0.40), (0, 0, 0), (0.66, 0.50, 0.43), (0, 0, 0)),
    "tunnel": ((0.34, 0.34, 0.36), (0, 0, 0), (0.92, 0.92, 0.84), (0.40, 0.42, 0.46)),
    "stairs": ((0.56, 0.53, 0.50), (0.80, 0.77, 0.70), (0.62, 0.66, 0.70), (0.50, 0.45, 0.40)),
    "plain": ((0.52, 0.60, 0.42), (0, 0, 0), (0.76, 0.84, 0.90), (0, 0, 0)),
    "corner": ((0.52, 0.42, 0.34), (0.86, 0.82, 0.72), (0.58, 0.62, 0.60), (0, 0, 0)),
    "pillars": ((0.66, 0.60, 0.50), (0, 0, 0), (0.48, 0.46, 0.54), (0.88, 0.86, 0.82)),
    "corridor": ((0.50, 0.52, 0.54), (0.66, 0.72, 0.70), (0.88, 0.88, 0.80), (0.84, 0.86, 0.86)),
    "valley": ((0.56, 0.50, 0.40), (0.58, 0.52, 0.38), (0.82, 0.82, 0.84), (0, 0, 0)),
}
"""Muted RGB of floor, sides, back and extras, so that the object's colour stands out in every setting."""


def see(setting: str, origin: Array, directions: Array) -> Backdrop:
    """Meet the setting with the camera's rays.

    Args:
        setting: one of `world.ATTRIBUTES["setting"]`.
        origin: (3,) camera centre.
        directions: (R, 3) with a component of one along the optical axis, so that the ray parameter is the depth.
    """
    depth = np.full(len(directions), np.inf, np.float32)
    normal = np.zeros_like(directions)
    kind = np.zeros(len(directions), np.int8)
    for plane_normal, offset, plane_kind in _ROOMS[setting]:
        facing = directions @ np.array(plane_normal, np.float32)
        reach = (offset - float(np.dot(plane_normal, origin))) / np.where(facing < -1e-6, facing, -1e-6)
        _keep_nearer(depth, normal, kind, reach, np.array(plane_normal, np.float32), plane_kind)
    if setting == "tunnel":
        _add_tube(depth, normal, kind, origin, directions)
    elif setting == "stairs":
        _add_steps(depth, normal, kind, origin, directions)
    elif setting == "pillars":
        for x in (-1.75, -0.9, 0.0, 0.9, 1.75):
            _add_column(depth, normal, kind, origin, directions, x)
    points = origin + directions * depth[:, None]
    albedo = np.array(_COLOURS[setting], np.float32)[kind] * _texture(setting, points, kind)[:, None]
    return Backdrop(depth, points, normal, albedo)


def _keep_nearer(depth: Array, normal: Array, kind: Array, reach: Array, towards: Array, which: int) -> None:
    """Where `reach` is in front of what was met so far, make it what is met (in place)."""
    nearer = (reach > 0.05) & (reach < depth)
    depth[nearer] = reach[nearer]
    normal[nearer] = towards[nearer] if towards.ndim == 2 else towards
    kind[nearer] = which


def _add_tube(depth: Array, normal: Array, kind: Array, origin: Array, directions: Array) -> None:
    """The inside of a round tube along z, radius 1.35 m around the height 0.75 m."""
    radius, height = 1.35, 0.75
    flat, start = directions[:, :2], origin[:2] - (0, height)
    square = (flat * flat).sum(1) + 1e-9
    half = flat @ start.astype(np.float32)
    reach = (-half + np.sqrt(np.maximum(half * half - square * (start @ start - radius**2), 0))) / square
    inward = -(start + flat * reach[:, None]) / radius
    _keep_nearer(depth, normal, kind, reach, np.concatenate([inward, np.zeros_like(reach)[:, None]], 1), _EXTRA)


def _add_steps(depth: Array, normal: Array, kind: Array, origin: Array, directions: Array) -> None:
    """Seven steps that climb away from the camera, from 4.3 m on."""
    rise, run, first = _RISE, 0.45, 4.3
    for step in range(7):
        reach = (first + step * run - origin[2]) / directions[:, 2]
        height = origin[1] + reach * directions[:, 1]
        riser = np.where((height >= step * rise) & (height <= (step + 1) * rise), reach, np.inf)
        _keep_nearer(depth, normal, kind, riser, np.array([0, 0, -1], np.float32), _EXTRA)
        reach = ((step + 1) * rise - origin[1]) / np.where(abs(directions[:, 1]) < 1e-6, -1e-6, directions[:, 1])
        along = origin[2] + reach * directions[:, 2] - first - step * run
        tread = np.where((along >= 0) & (along <= run), reach, np.inf)
        _keep_nearer(depth, normal, kind, tread, np.array([0, 1, 0], np.float32), _SIDE)


def _add_column(depth: Array, normal: Array, kind: Array, origin: Array, directions: Array, x: float) -> None:
    """A round column of radius 0.2 m, 4.9 m away."""
    radius = 0.2
    flat, start = directions[:, ::2], origin[::2] - (x, 4.9)
    square = (flat * flat).sum(1)
    half = flat @ start.astype(np.float32)
    root = half * half - square * (start @ start - radius**2)
    reach = np.where(root > 0, (-half - np.sqrt(np.maximum(root, 0))) / square, np.inf)
    outward = (start + flat * np.where(root > 0, reach, 0)[:, None]) / radius
    towards = np.stack([outward[:, 0], np.zeros_like(reach), outward[:, 1]], 1)
    _keep_nearer(depth, normal, kind, reach, towards, _EXTRA)


def _texture(setting: str, points: Array, kind: Array) -> Array:
    """(R,) factor on the albedo: bricks, tiles, rings, furrows."""
    x, y, z = points.T
    match setting:
        case "wall":
            row = np.floor(y / 0.28)
            joint = (np.mod(y / 0.28, 1) < 0.14) | (np.mod(x / 0.56 + 0.5 * np.mod(row, 2), 1) < 0.07)
            return np.where((kind == _BACK) & joint, 1.3, 1)
        case "tunnel":
            return np.where((kind == _EXTRA) & (np.mod(z, 1.2) < 0.22), 1.7, 1)
        case "stairs":
            return np.where((kind == _EXTRA) & (np.mod(y / _RISE, 1) > 0.75), 0.72, 1)
        case "corner":
            return np.where((kind == _FLOOR) & (np.mod(x / 0.4, 1) < 0.1), 0.8, 1)
        case "plain":
            return np.where(kind == _FLOOR, 1 + 0.14 * np.sin(3.1 * z) * np.sin(2.3 * x + 0.7 * z), 1)
        case "pillars" | "corridor":
            return np.where((kind == _FLOOR) & (np.mod(np.floor(x / 0.5) + np.floor(z / 0.5), 2) < 1), 0.8, 1)
        case "valley":
            return np.where(kind == _SIDE, 1 + 0.16 * np.sin(9 * y + 0.8 * np.sin(2 * z)), 1)
        case _:
            return np.ones_like(x)
