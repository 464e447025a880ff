"""Packing over a Ray cluster: Ray Data runs one task per chunk of the plan and hands back what each task stored.

Tasks are given a chunk as JSON and return JSON; the shards go from the task to storage and never pass the driver.
"""

from collections.abc import Iterator

import pyarrow as pa
import ray
import ray.data
import ray.exceptions

from raybind.construction.pack_chunk import ChunkPacker, PackedShard
from raybind.construction.pack_plan import Chunk
from raybind.construction.packing import Work
from raybind.errors import ConfigError, RayBindError


def start_ray(num_cpus: float) -> None:
    """Join the cluster this process belongs to, or start Ray on this machine.

    Raises:
        ConfigError: the cluster has fewer CPUs than one task takes, so that nothing would ever start.
    """
    if not ray.is_initialized():
        ray.init(logging_level="warning")
    available = ray.cluster_resources().get("CPU", 0)
    if available < num_cpus:
        raise ConfigError(f"num_cpus={num_cpus}, but the Ray cluster has {available} CPUs in all; lower num_cpus")


def pack_chunks(packer: ChunkPacker, work: Work, num_cpus: float) -> Iterator[PackedShard]:
    """Pack chunks in parallel.

    Args:
        num_cpus: CPUs of the cluster that one task takes.
    Yields: each stored shard, as its task ends.
    Raises:
        RayBindError: a task failed for a reason other than a single sample; what is stored stays.
    """
    rows = [{"chunk": chunk.to_bytes(), "modalities": ",".join(modalities)} for chunk, modalities in work]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _pack_batch, batch_size=1, batch_format="pyarrow", num_cpus=num_cpus, fn_kwargs={"packer": packer}
    )
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    try:
        for row in dataset.iter_rows():
            yield PackedShard.model_validate_json(row["packed"])
    except ray.exceptions.RayError as error:
        raise RayBindError(
            f"a packing task failed: {error}\nWhat is stored stays; run the same command again to go on"
        ) from error


def _pack_batch(batch: pa.Table, packer: ChunkPacker) -> pa.Table:
    """One row: a chunk in, its stored shards out."""
    row = batch.to_pylist()[0]
    packed = packer.pack(Chunk.from_bytes(row["chunk"]), tuple(row["modalities"].split(",")))
    return pa.table({"packed": [shard.model_dump_json() for shard in packed]})
