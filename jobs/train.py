"""Bind a modality to language, or pretrain a base: `python jobs/train.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.train import main

if __name__ == "__main__":
    sys.exit(main())
