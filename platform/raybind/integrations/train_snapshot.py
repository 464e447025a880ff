"""Ray Train's own record of a run's checkpoints, read from storage.

A checkpoint folder that is there but not in the record was never completed.
"""

import json

from raybind.data.storage import Storage

SNAPSHOT = "checkpoint_manager_snapshot.json"


def newest_checkpoint(run: Storage) -> Storage | None:
    """The newest checkpoint that Ray Train committed below a run's folder, or None."""
    try:
        snapshot = json.loads(run.read(SNAPSHOT))
    except FileNotFoundError:
        return None
    latest = snapshot.get("latest_checkpoint_result")
    return run.below(latest["checkpoint_dir_name"]) if latest else None
