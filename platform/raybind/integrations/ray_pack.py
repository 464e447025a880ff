"""Packing over a Ray cluster: Ray Data runs one task per chunk of the plan and hands back what each task stored.

Tasks are given a chunk as JSON and return JSON; the shards go from the task to storage and never pass the driver.
"""

from collections.abc import Iterator

import pyarrow as pa
import ray

from raybind.construction.pack_chunk import ChunkPacker, PackedShard
from raybind.construction.pack_plan import Chunk
from raybind.construction.packing import Work
from raybind.errors import ConfigError, RayBindError
from raybind.integrations.ray_cluster import connect
from raybind.integrations.ray_rows import map_rows

_RESULT = pa.schema([("packed", pa.string()), ("error", pa.string())])


def start_ray(num_cpus: float) -> None:
    """Join the cluster of this job, or start Ray on this machine.

    Raises:
        ConfigError: the cluster has fewer CPUs than one task takes, so that nothing would ever start.
    """
    connect()
    available = ray.cluster_resources().get("CPU", 0)
    if available < num_cpus:
        raise ConfigError(f"num_cpus={num_cpus}, but the Ray cluster has {available} CPUs in all; lower num_cpus")


def pack_chunks(packer: ChunkPacker, work: Work, num_cpus: float) -> Iterator[PackedShard]:
    """Pack chunks in parallel.

    Args:
        num_cpus: CPUs of the cluster that one task takes.
    Yields: each stored shard, as its task ends.
    Raises:
        RayBindError: the source or the output could not be reached; what is stored stays.
    """
    rows = [{"chunk": chunk.to_bytes(), "modalities": ",".join(modalities)} for chunk, modalities in work]
    for row in map_rows(rows, lambda batch: _pack_batch(packer, batch), num_cpus=num_cpus):
        if row["error"] is not None:
            raise RayBindError(f"packing stopped: {row['error']}. What is stored stays; run the same command again")
        yield PackedShard.model_validate_json(row["packed"])


def _pack_batch(packer: ChunkPacker, batch: pa.Table) -> pa.Table:
    """One row: a chunk in; out its stored shards, or what went wrong with the source or the output."""
    row = batch.to_pylist()[0]
    try:
        packed = packer.pack(Chunk.from_bytes(row["chunk"]), tuple(row["modalities"].split(",")))
    except OSError as error:
        return pa.table({"packed": [None], "error": [str(error)]}, schema=_RESULT)
    return pa.table({"packed": [shard.model_dump_json() for shard in packed], "error": [None] * len(packed)}, _RESULT)
