"""Puts the package of this very source tree first on the driver's import path.

A job starts with `import _snapshot`, before it imports raybind. In a submitted job the tree is the uploaded snapshot,
on a developer's machine the checkout; an installed copy of the package is never used in its place. How the package
goes from the driver to the workers: `raybind.integrations.ray_cluster`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "platform"))
