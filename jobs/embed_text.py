"""Embed all texts of a data set once, for training without a language encoder: `python jobs/embed_text.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.embed_text import main

if __name__ == "__main__":
    sys.exit(main())
