"""Export a pretrained base: `python jobs/export_base.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.export_base import main

if __name__ == "__main__":
    sys.exit(main())
