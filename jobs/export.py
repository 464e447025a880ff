"""Export a trained encoder: `python jobs/export.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.export import main

if __name__ == "__main__":
    sys.exit(main())
