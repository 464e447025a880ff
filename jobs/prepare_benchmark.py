"""Prepare a benchmark for evaluation: `python jobs/prepare_benchmark.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.prepare_benchmark import main

if __name__ == "__main__":
    sys.exit(main())
