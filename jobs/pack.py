"""Pack media into shards: `python jobs/pack.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.pack import main

if __name__ == "__main__":
    sys.exit(main())
