"""Pack media into shards: `python jobs/pack.py --help`."""

import sys

from raybind.app.pack import main

if __name__ == "__main__":
    sys.exit(main())
