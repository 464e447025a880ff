"""Ray Data: global batches of the epoch order, read and decoded in tasks, streamed to the training workers in order.

A worker's share of a global batch is one block of a single row, whose columns hold its arrays whole: nothing can split
it or join it to another. Blocks keep their order, so `streaming_split` deals them out in turn: block
`step * world_size + rank` reaches `rank` as its share of `step`, and a global batch is the same set of samples for any
number of workers and readers. A task reads a few shares in succession, since starting one costs tens of milliseconds.

Ray Data holds a description of every task of an execution, so a long run is cut into laps, executions of a bounded
number of tasks that follow each other.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import ray
import ray.data
import ray.train
from ray.actor import ActorHandle
from ray.data import DataContext, DataIterator, Dataset, Datasource, ExecutionOptions, ReadTask
from ray.data._internal.execution import streaming_executor_state
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data.block import Block, BlockAccessor, BlockMetadata
from ray.train import DataConfig

from raybind.config.data import DataConfig as ReadingConfig
from raybind.config.train import ClusterConfig
from raybind.data.manifest import SplitIndex
from raybind.data.order import Batching, Cursor, Share, epoch_order
from raybind.data.reader import Arrays, SampleReader, prepared_shape
from raybind.data.shard_cache import ShardCache
from raybind.data.text_cache import TextCache
from raybind.model.input_shape import InputShape

SHARES_PER_LAP = 16_384
"""Of all workers together, where none is missing; Ray spends about 3 KiB and 0.1 ms on each task before the first is
read."""
MAX_SAMPLES_PER_TASK = 512
"""Half a second of decoding pictures. More would hide more of a task's start, and leave a short run to one reader."""
MAX_BYTES_PER_TASK = 256 << 20
"""Of one task's pixel values: what a reader that is ahead of the others keeps in the object store."""


@dataclass(frozen=True)
class StreamPlan:
    """What is read, in which order, in which pieces."""

    index: "ray.ObjectRef[SplitIndex]"
    """In the object store, so that it is not sent with every task."""
    text_cache: "ray.ObjectRef[TextCache] | None"
    """The same; None where the language encoder runs in training."""
    config: ReadingConfig
    shape: InputShape
    seed: int
    batching: Batching
    micro_batch_size: int
    """Samples that a worker encodes at a time at most."""
    total_steps: int
    cluster: ClusterConfig

    def share(self, world_size: int) -> Share:
        """What one of so many workers gets of a global batch."""
        return self.batching.share(world_size, self.micro_batch_size)

    def shares_per_task(self, world_size: int) -> int:
        """Blocks that one task reads in succession at most; one where a share is as large as that."""
        sample_bytes = 4 * math.prod(prepared_shape(self.config, self.shape))
        samples = min(MAX_SAMPLES_PER_TASK, MAX_BYTES_PER_TASK // sample_bytes)
        return max(1, samples // self.share(world_size).size)


class Shares(Datasource):
    """A Ray Data source whose blocks are the workers' shares of some steps of a run."""

    def __init__(self, plan: StreamPlan, steps: range, world_size: int) -> None:
        super().__init__()
        self._plan = plan
        self._world_size = world_size
        numbers = range(steps.start * world_size, steps.stop * world_size)
        self._tasks = list(cut_into_tasks(numbers, plan.shares_per_task(world_size)))

    @property
    def num_tasks(self) -> int:
        """Tasks that read."""
        return len(self._tasks)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """See `ray.data.Datasource`; `parallelism` is ignored, since the tasks are what they are."""
        return [
            ReadTask(partial(_read, self._plan, self._world_size, task), BlockMetadata(len(task), None, None, None))
            for task in self._tasks
        ]

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before reading."""
        return None


def cut_into_tasks(numbers: range, most: int) -> Iterator[range]:
    """Small tasks first, so that all readers work on what is asked for first; from there on twice as large every second
    time, up to `most` shares.
    """
    task = 0
    while numbers:
        size = min(most, 2 ** (task // 2))
        yield numbers[:size]
        numbers, task = numbers[size:], task + 1


def training_dataset(plan: StreamPlan, steps: range, world_size: int) -> Dataset:
    """Every worker's share of some steps; nothing before them is read."""
    source = Shares(plan, steps, world_size)
    # Ray splits the blocks of a source with fewer tasks than the parallelism it has in mind, unless that is given.
    return ray.data.read_datasource(source, override_num_blocks=source.num_tasks, num_cpus=plan.cluster.reader_cpus)


def _read(plan: StreamPlan, world_size: int, shares: range) -> Iterator[Block]:
    index = _fetched(plan.index)
    cache = _fetched(plan.text_cache) if plan.text_cache is not None else None
    copies = plan.cluster.cache
    reader = SampleReader(index, plan.config, plan.shape, plan.seed, cache, _shard_cache(copies.folder, copies.max_gb))
    size = plan.share(world_size).size
    for number in shares:
        step, rank = divmod(number, world_size)
        cursor = plan.batching.cursor_at(step)
        order = epoch_order(index.shard_sizes, plan.seed, cursor.epoch, plan.config.shuffle_window_shards)
        batch = order[cursor.position : cursor.position + plan.batching.global_batch_size]
        arrays = reader.read_batch(batch[rank * size : (rank + 1) * size].tolist(), cursor.epoch, size)
        places = {"epoch": np.full(size, cursor.epoch), "position": np.full(size, cursor.position)}
        yield _to_row(arrays | places)


def _to_row(arrays: Arrays) -> Block:
    row = {name: [array.tolist()] if array.dtype.kind == "U" else array[None] for name, array in arrays.items()}
    return BlockAccessor.batch_to_block(row)


@lru_cache(maxsize=4)
def _fetched(reference: Any) -> Any:
    """Once per process, so that its connections to object storage stay open from one share to the next."""
    return ray.get(reference)


@lru_cache(maxsize=1)
def _shard_cache(folder: str | None, max_gb: float) -> ShardCache | None:
    return ShardCache(folder, max_gb) if folder is not None else None


def lap_datasets(plan: StreamPlan, newest_cursor: Callable[[], Cursor]) -> dict[str, Callable[[], Dataset]]:
    """For `TorchTrainer(datasets=...)`: called at every start of the workers, so a restart reads on at the cursor.

    Nothing is read of a lap before a worker asks for it.
    """

    def build(steps: range) -> Any:
        first = plan.batching.step_at(newest_cursor())
        return partial(training_dataset, plan, range(first, steps.stop) if first in steps else steps)

    laps = lap_steps(plan.total_steps, plan.cluster.num_workers)
    return {_lap_name(lap): partial(build, steps) for lap, steps in enumerate(laps)}


class LapsForWorkers(DataConfig):
    """Makes a lap's data set of what `lap_datasets` has left open: the number of workers that started."""

    def __init__(self) -> None:
        super().__init__(execution_options=execution_options())

    def configure(
        self,
        datasets: dict[str, Dataset],
        world_size: int,
        worker_handles: list[ActorHandle] | None,
        worker_node_ids: list[str] | None,
        **kwargs: Any,
    ) -> list[dict[str, DataIterator]]:
        """Called by Ray Train when a worker asks for a lap."""
        configure(DataContext.get_current())
        laps: Any = datasets
        made = {name: lap(world_size) for name, lap in laps.items()}
        return super().configure(made, world_size, worker_handles, worker_node_ids, **kwargs)


def lap_steps(total_steps: int, num_workers: int) -> list[range]:
    """The steps of each lap of a run."""
    length = max(1, SHARES_PER_LAP // num_workers)
    return [range(first, min(first + length, total_steps)) for first in range(0, total_steps, length)]


def _lap_name(lap: int) -> str:
    return f"lap-{lap}"


def execution_options() -> ExecutionOptions:
    """Blocks leave in the order they were asked for."""
    return ExecutionOptions(preserve_order=True)


class PacedLoop(ExecutionCallback):
    """A round of Ray Data's scheduling loop every 10 ms.

    By itself Ray 2.60 waits up to 100 ms for all running tasks together, which is how long a reader that has ended its
    task then waits for another; and while finished blocks wait for a slower consumer it goes round without pause: half
    a CPU, taken from training on a small machine.
    """

    def before_execution_starts(self, executor: object) -> None:
        """Called by Ray Data, in the process of its loop."""
        streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = 0

    def on_execution_step(self, executor: object) -> None:
        """Called by Ray Data after each round."""
        time.sleep(0.01)


def configure(context: DataContext) -> None:
    """A block leaves its task once it is there; no progress bars of Ray's own, a calm scheduling loop."""
    context.target_max_block_size = 1
    context.memory_usage_poll_interval_s = None
    context.custom_execution_callback_classes = [PacedLoop]
    context.enable_progress_bars = False


def worker_batches(total_steps: int, num_workers: int, first_step: int) -> Iterator[Arrays]:
    """This Ray Train worker's shares from a step on, lap after lap; the first is asked for at once.

    Args:
        num_workers: as the laps were cut for, not as many as there are.
    """
    laps = lap_steps(total_steps, num_workers)
    batches = _iterate_laps([lap for lap, steps in enumerate(laps) if steps.stop > first_step])
    first = ThreadPoolExecutor(1).submit(next, batches, None)

    def rest() -> Iterator[Arrays]:
        arrays = first.result()
        if arrays is not None:
            yield arrays
            yield from batches

    return rest()


def _iterate_laps(laps: list[int]) -> Iterator[Arrays]:
    for lap in laps:
        shard = ray.train.get_dataset_shard(_lap_name(lap))
        assert shard is not None
        yield from iterate_shard(shard)


def iterate_shard(shard: DataIterator, prefetch: int = 2) -> Iterator[Arrays]:
    """The batches of a worker's shard, `prefetch` ahead of the step."""
    rows: Any = shard.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=prefetch)  # pyright: ignore[reportArgumentType]
    for row in rows:
        yield {name: column[0] for name, column in row.items()}
