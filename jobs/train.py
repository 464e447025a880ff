"""Bind a modality to language, or pretrain a base: `python jobs/train.py --help`."""

import sys

from raybind.app.train import main

if __name__ == "__main__":
    sys.exit(main())
