"""What a depth camera and a thermal camera record of a view.

Legend: F frames, H = W image side.
"""

import numpy as np

from raybind.construction.tiny_vidal.scene import NUM_BEFORE
from raybind.construction.tiny_vidal.view import View

Array = np.ndarray

_HEAT = {"frozen": 0.03, "cool": 0.22, "warm": 0.66, "hot": 0.95}
"""Thermal grey level of the object, 0..1. The scale is absolute: no gain control."""
_AMBIENT_HEAT = 0.42
_PIXELS_PER_LOSS = 500


def measure_depth(view: View, rng: np.random.Generator) -> Array:
    """(F, H, W) uint16 millimetres along the optical axis; one pixel in 500 is missing (0)."""
    depth = np.broadcast_to(view.backdrop.depth, view.cover.shape).copy()
    solid = view.hits.coverage >= 0.5
    depth[view.hits.pose[solid], view.hits.ray[solid]] = view.hits.depth[solid]
    millimetres = np.rint(depth[NUM_BEFORE:] * 1000).astype(np.uint16)
    lost = rng.integers(millimetres.size, size=millimetres.size // _PIXELS_PER_LOSS)
    millimetres.reshape(-1)[lost] = 0
    return millimetres.reshape(-1, view.side_px, view.side_px)


def measure_heat(view: View, rng: np.random.Generator) -> Array:
    """(F, H, W) uint8 thermal grey level: strongest at the object's core, spreading to what is near it.

    The surroundings are in thermal equilibrium and show nothing of the setting, so that a setting's partners in
    training cannot stand in for the object's shape.
    """
    excess = _HEAT[view.scene.composition.temperature] - _AMBIENT_HEAT
    image = _AMBIENT_HEAT + 0.3 * excess * view.closeness + rng.uniform(-0.03, 0.03)
    facing = np.clip(-(view.hits.normal * view.scene.directions[view.hits.ray]).sum(1), 0, 1)
    surface = view.over_hits(_AMBIENT_HEAT + excess * (0.78 + 0.22 * facing))
    image += (surface[NUM_BEFORE:] - image) * view.cover[NUM_BEFORE:]
    image += 0.012 * rng.standard_normal(image.shape, np.float32)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8).reshape(-1, view.side_px, view.side_px)
