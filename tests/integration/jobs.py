"""Running a job's script as a user does."""

import subprocess
import sys
from pathlib import Path


def run_job(tree: Path, *arguments: str) -> str:
    """Run `python <arguments>` in a tree and expect success. Returns: what it printed."""
    ended = subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout
