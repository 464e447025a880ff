"""Evaluate a trained encoder: `python jobs/evaluate.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
