"""Train with several configurations and rank them: `python sweeps/run.py --help`."""

import sys
from pathlib import Path

# As `jobs/_snapshot.py`: the package of this very source tree comes first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "platform"))

from raybind.app.sweep import main

if __name__ == "__main__":
    sys.exit(main())
