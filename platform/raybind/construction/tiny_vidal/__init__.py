"""TinyVIDAL: a generated world of moving, sounding, warm or cold objects in which five modalities are truly aligned.

`generate` makes whole splits, `render_sample` any one sample alone, `tiny_vidal.contact_sheet` shows what came out. It
serves demos, tests and sweeps; it does not replace real data.
"""

from raybind.construction.tiny_vidal.samples import generate, num_samples, render_sample
from raybind.construction.tiny_vidal.world import Composition, classes, composition

__all__ = ["Composition", "classes", "composition", "generate", "num_samples", "render_sample"]
