"""What the camera meets in a scene, before it is turned into pixels.

One ray marching serves all modalities, so they are aligned to the pixel.

Legend: P instants, F frames, N = H * W pixels.
"""

from dataclasses import dataclass

import numpy as np

from raybind.construction.tiny_vidal.scene import NUM_BEFORE, Scene
from raybind.construction.tiny_vidal.settings import Backdrop, see
from raybind.construction.tiny_vidal.shapes import Hits, march

Array = np.ndarray


@dataclass(frozen=True)
class View:
    """A scene as the camera's rays meet it."""

    scene: Scene
    backdrop: Backdrop
    hits: Hits
    cover: Array
    """(P, N) 0..1: the part of each pixel that the object covers"""
    closeness: Array
    """(F, N) 0..1: how near each surface point of the setting is to the object, for its shadow and its warmth"""

    @property
    def side_px(self) -> int:
        """Height and width of the image."""
        return round(self.cover.shape[1] ** 0.5)

    def over_hits(self, values: Array) -> Array:
        """Spread one value per hit to (P, N), zero where the object is not."""
        spread = np.zeros_like(self.cover)
        spread[self.hits.pose, self.hits.ray] = values
        return spread


def look(scene: Scene) -> View:
    """Send the camera's rays into the setting and at the object's poses."""
    backdrop = see(scene.composition.setting, scene.origin, scene.directions)
    hits = march(scene.composition.shape, scene.poses, scene.origin, scene.directions, scene.focal_px)
    cover = np.zeros((len(scene.poses.radius), len(scene.directions)), np.float32)
    cover[hits.pose, hits.ray] = hits.coverage
    return View(scene, backdrop, hits, cover, _closeness(scene, backdrop))


def _closeness(scene: Scene, backdrop: Backdrop) -> Array:
    points, radius = backdrop.points, scene.poses.radius[NUM_BEFORE:, None]
    centre = scene.poses.centre[NUM_BEFORE:] - np.array([0, 0.5, 0], np.float32) * radius
    square = (points * points).sum(1) - 2 * centre @ points.T + (centre * centre).sum(1)[:, None]
    return np.exp(-square / (0.75 * radius**2))
