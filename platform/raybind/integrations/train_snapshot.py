"""Ray Train's own record of a run's checkpoints, read from storage.

A checkpoint folder that is there but not in the record was never completed. On a local disk Ray writes the record in
place (2.60), so that a full disk leaves an empty one: a copy of the last good one is kept beside it.
"""

import json
from typing import Any

from raybind.data.storage import Storage

SNAPSHOT = "checkpoint_manager_snapshot.json"
COPY = f"{SNAPSHOT}.copy"


def newest_checkpoint(run: Storage) -> Storage | None:
    """The newest checkpoint that Ray Train committed below a run's folder, or None."""
    snapshot = _parsed(run, SNAPSHOT) or _parsed(run, COPY) or {}
    latest = snapshot.get("latest_checkpoint_result")
    return run.below(latest["checkpoint_dir_name"]) if latest else None


def keep_copy(run: Storage) -> None:
    """Copy the record as it is, if that is whole."""
    if run.is_local and _parsed(run, SNAPSHOT) is not None:
        run.write(COPY, run.read(SNAPSHOT))


def mend(run: Storage) -> None:
    """Put the copy in the place of a record that is not whole, for Ray Train to read."""
    if run.is_local and _parsed(run, SNAPSHOT) is None and run.exists(COPY):
        run.write(SNAPSHOT, run.read(COPY))


def _parsed(run: Storage, key: str) -> dict[str, Any] | None:
    try:
        return json.loads(run.read(key))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
