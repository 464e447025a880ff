"""Ray Data: micro-batches of the epoch order, read and decoded in tasks, streamed to the training workers in order.

The unit of work is one micro-batch: one task, one block of exactly that size. Blocks keep their order and are never
reshaped, so `streaming_split` deals them out in turn: block `step * world_size + rank` reaches `rank` as its micro-batch
of `step`, and a global batch is the same set of samples for any number of workers and readers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data import DataContext, Dataset, ExecutionOptions

from raybind.data.manifest import SplitIndex
from raybind.data.order import Batching, Cursor, epoch_order
from raybind.data.reader import Arrays, SampleReader


@dataclass(frozen=True)
class StreamPlan:
    """What is read, in which order, in which pieces."""

    reader: SampleReader
    batching: Batching
    total_steps: int
    num_workers: int
    reader_cpus: float

    @property
    def micro_batch_size(self) -> int:
        """Samples of one block."""
        return self.batching.global_batch_size // self.num_workers


class MicroBatchTask:
    """Reads the micro-batch of a number, counted over the whole run; runs in a Ray Data task."""

    def __init__(self, plan: StreamPlan, index: "ray.ObjectRef[SplitIndex]") -> None:
        self._plan = plan
        self._index = index

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """One row in (`id`, the micro-batch number), one block of micro_batch_size rows out."""
        plan = self._plan
        step, rank = divmod(int(rows["id"][0]), plan.num_workers)
        cursor = plan.batching.cursor_at(step)
        index = ray.get(self._index)
        config = plan.reader.config
        order = epoch_order(index.shard_sizes, plan.reader.seed, cursor.epoch, config.shuffle_window_shards)
        first = cursor.position + rank * plan.micro_batch_size
        numbers = order[first : first + plan.micro_batch_size]
        reader = SampleReader(index, config, plan.reader.image_size, plan.reader.seed)
        arrays = reader.read_micro_batch([int(number) for number in numbers], cursor.epoch)
        return arrays | {
            "epoch": np.full(len(numbers), cursor.epoch),
            "position": np.full(len(numbers), cursor.position),
        }


def training_dataset(plan: StreamPlan, start: Cursor) -> Dataset:
    """Every micro-batch from `start` to the end of the run, one block each, nothing before it read."""
    first_step = plan.batching.step_at(start)
    num_blocks = max(1, (plan.total_steps - first_step) * plan.num_workers)
    index = ray.put(plan.reader.index)
    offset = first_step * plan.num_workers
    task = MicroBatchTask(plan, index)
    return ray.data.range(num_blocks, override_num_blocks=num_blocks).map_batches(
        lambda rows: task({"id": rows["id"] + offset}), batch_size=1, num_cpus=plan.reader_cpus
    )


def dataset_factory(plan: StreamPlan, newest_cursor: Callable[[], Cursor]) -> Callable[[], Dataset]:
    """For `TorchTrainer(datasets=...)`: called at every start of the worker group, so a restart reads on at the cursor."""

    def build() -> Dataset:
        configure(DataContext.get_current())
        return training_dataset(plan, newest_cursor())

    return build


def execution_options() -> ExecutionOptions:
    """Blocks leave in the order they were asked for."""
    return ExecutionOptions(preserve_order=True)


def configure(context: DataContext) -> None:
    """No reshaping of blocks and no progress bars of Ray's own."""
    context.target_max_block_size = None
    context.enable_progress_bars = False


def iterate_shard(shard: "ray.data.DataIterator", prefetch: int = 2) -> Iterator[Arrays]:
    """The blocks of a worker's shard as they are, `prefetch` ahead of the step."""
    yield from shard.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=prefetch)
