"""Auditing shards in parallel over a Ray cluster."""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import ray

from raybind.config.data import DataConfig
from raybind.data.audit import ShardAudit, audit_shard
from raybind.data.manifest import SplitIndex
from raybind.errors import RayBindError
from raybind.integrations.ray_rows import map_rows
from raybind.model.input_shape import InputShape

_RESULT = pa.schema([("audit", pa.string()), ("error", pa.string())])


def audit_shards(
    indices: Mapping[str, SplitIndex], config: DataConfig, shape: InputShape, num_cpus: float
) -> Iterator[ShardAudit]:
    """Audit every shard of some splits.

    Args:
        num_cpus: CPUs of the cluster that one shard takes.
    Yields: each shard's audit as its task ends. Raises: RayBindError: the storage could not be reached.
    """
    references = {split: ray.put(index) for split, index in indices.items()}
    rows = [{"split": split, "shard": n} for split, index in indices.items() for n in range(len(index.shards))]

    def audit(batch: pa.Table) -> pa.Table:
        row = batch.to_pylist()[0]
        try:
            found = audit_shard(ray.get(references[row["split"]]), row["shard"], config, shape)
        except OSError as error:
            return pa.table({"audit": [None], "error": [str(error)]}, schema=_RESULT)
        return pa.table({"audit": [found.model_dump_json()], "error": [None]}, schema=_RESULT)

    for row in map_rows(rows, audit, num_cpus=num_cpus):
        if row["error"] is not None:
            raise RayBindError(f"the audit stopped: {row['error']}")
        yield ShardAudit.model_validate_json(row["audit"])
