"""The order in which samples reach the workers, through real Ray Data: the same for any number of readers and ranks."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.data import DataContext

from raybind.config.data import DataConfig
from raybind.config.train import ClusterConfig
from raybind.data.manifest import SplitIndex, read_split, shard_name
from raybind.data.order import Batching, Cursor, epoch_order
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.integrations.ray_data import (
    StreamPlan,
    configure,
    cut_into_tasks,
    execution_options,
    iterate_shard,
    lap_steps,
    training_dataset,
)
from raybind.model.input_shape import InputShape

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SHARD_SIZES = (13, 7, 20, 3, 9)
GLOBAL_BATCH = 12
NUM_WORKERS = 4
"""That the run is configured for."""
NUM_EPOCHS = 2
SEED = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_media: SimpleNamespace) -> Path:
    """Depth maps in shards of uneven sizes."""
    root = tmp_path_factory.mktemp("stream")
    storage, shards = open_storage(str(root / "depth")), []
    for shard, size in enumerate(SHARD_SIZES):
        writer = ShardWriter(storage, "depth", shard_name("train", shard))
        for place in range(size):
            metadata = SampleMetadata(id=f"s{shard}-{place}", texts=Texts(captions=("something",)))
            writer.add(metadata, (MediaFile("0.png", tiny_media.depth_png),))
        shards.append(writer.close())
    write_manifest(storage, "depth", {"train": shards})
    return root


@pytest.fixture(scope="module")
def index(root: Path) -> SplitIndex:
    return read_split(open_storage(str(root)), "depth", "train")


def make_plan(root: Path, index: SplitIndex, readers: int) -> StreamPlan:
    batching = Batching(len(index), GLOBAL_BATCH)
    return StreamPlan(
        index=ray.put(index),
        text_cache=None,
        config=DataConfig(root=str(root), modality="depth", text_source="caption", shuffle_window_shards=2),
        shape=InputShape(8, 8),
        seed=SEED,
        batching=batching,
        micro_batch_size=GLOBAL_BATCH // NUM_WORKERS,
        total_steps=NUM_EPOCHS * batching.steps_per_epoch,
        cluster=ClusterConfig(num_workers=NUM_WORKERS, reader_cpus=2 / readers),
    )


def received(plan: StreamPlan, steps: range, ranks: int) -> list[tuple[int, frozenset[int]]]:
    """Epoch and sample numbers of each global batch, in the order in which the ranks got them."""
    configure(DataContext.get_current())
    dataset = training_dataset(plan, steps, ranks)
    dataset.context.execution_options = execution_options()
    shards = dataset.streaming_split(ranks, equal=True)
    with ThreadPoolExecutor(len(shards)) as pool:
        by_rank = list(pool.map(lambda shard: list(iterate_shard(shard)), shards))
    batches: dict[int, set[int]] = defaultdict(set)
    for blocks in by_rank:
        assert len(blocks) == len(steps)
        for step, block in zip(steps, blocks, strict=True):
            assert len(block["number"]) == plan.share(ranks).size
            assert plan.batching.cursor_at(step) == Cursor(int(block["epoch"][0]), int(block["position"][0]))
            batches[step] |= set(block["number"][~block["padding"]].tolist())
    return [(plan.batching.cursor_at(step).epoch, frozenset(batches[step])) for step in steps]


def expected(plan: StreamPlan, index: SplitIndex) -> list[tuple[int, frozenset[int]]]:
    """The same from the order alone."""
    batches = []
    for epoch in range(NUM_EPOCHS):
        order = epoch_order(index.shard_sizes, SEED, epoch, plan.config.shuffle_window_shards)
        firsts = range(0, plan.batching.steps_per_epoch * GLOBAL_BATCH, GLOBAL_BATCH)
        batches += [(epoch, frozenset(order[first : first + GLOBAL_BATCH].tolist())) for first in firsts]
    return batches


@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(("readers", "ranks"), [(1, 1), (2, 4), (3, 2), (7, 1), (7, 4), (2, 3), (3, 5)])
def test_global_batches_are_the_same_for_any_number_of_readers_and_ranks(
    root: Path, index: SplitIndex, readers: int, ranks: int
) -> None:
    plan = make_plan(root, index, readers)
    batches = received(plan, range(plan.total_steps), ranks)
    assert batches == expected(plan, index)
    for (epoch, batch), (next_epoch, next_batch) in pairwise(batches):
        assert epoch != next_epoch or not batch & next_batch, "nothing twice in an epoch"


@pytest.mark.usefixtures("ray_local")
def test_a_run_that_starts_at_a_cursor_gets_what_is_left(root: Path, index: SplitIndex) -> None:
    plan = make_plan(root, index, readers=2)
    for first in (1, plan.batching.steps_per_epoch + 1):
        assert received(plan, range(first, plan.total_steps), ranks=2) == expected(plan, index)[first:]


def test_tasks_cover_their_shares_once_and_grow() -> None:
    tasks = list(cut_into_tasks(range(3, 100), most=8))
    assert [number for task in tasks for number in task] == list(range(3, 100))
    assert [len(task) for task in tasks] == [1, 1, 2, 2, 4, 4, *10 * [8], 3]


def test_laps_cover_a_run_once() -> None:
    laps = lap_steps(total_steps=5000, num_workers=8)
    assert [step for lap in laps for step in lap] == list(range(5000))
    assert max(len(lap) for lap in laps) * 8 <= 16_384
