"""Read every sample of a data set and list what is wrong: `python jobs/audit.py --help`."""

import sys

import _snapshot  # noqa: F401
from raybind.app.audit import main

if __name__ == "__main__":
    sys.exit(main())
