"""Embed media and texts: `python jobs/embed.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.embed import main

if __name__ == "__main__":
    sys.exit(main())
