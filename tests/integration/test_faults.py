"""Object storage on a bad day, and bad data: nothing is lost, changed or out of order; what is bad is listed."""

from pathlib import Path

import numpy as np
import pytest
import ray
from ray.data import DataContext

from raybind.config.data import DataConfig
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.config.train import ClusterConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.faults import FaultCounts
from raybind.data.manifest import SplitIndex, read_split, shard_name
from raybind.data.order import Batching
from raybind.data.reader import Arrays, SampleReader, bad_samples
from raybind.data.storage import Storage, open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.integrations.ray_data import StreamPlan, configure, execution_options, iterate_shard, training_dataset
from raybind.model.input_shape import InputShape
from tests.integration.fault_proxy import FAULTS, fault_proxy

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

NUM_SAMPLES, SAMPLES_PER_SHARD, BATCH = 400, 50, 20
SHAPE = InputShape(56, 56)
WORLD = TinyVidalConfig(modalities=("depth",), num_frames=1, image_size_px=64)


def write_shards(modality: Storage) -> None:
    shards = []
    for shard in range(NUM_SAMPLES // SAMPLES_PER_SHARD):
        writer = ShardWriter(modality, "depth", shard_name("train", shard))
        for number in range(shard * SAMPLES_PER_SHARD, (shard + 1) * SAMPLES_PER_SHARD):
            sample = render_sample(WORLD, "train", number)
            writer.add(sample.metadata, sample.media["depth"])
        shards.append(writer.close())
    write_manifest(modality, "depth", {"train": shards})


def stream(index: SplitIndex, config: DataConfig) -> list[Arrays]:
    """All batches of one epoch, through Ray Data."""
    batching = Batching(len(index), BATCH)
    plan = StreamPlan(
        index=ray.put(index),
        text_cache=None,
        config=config,
        shape=SHAPE,
        seed=0,
        batching=batching,
        micro_batch_size=BATCH,
        total_steps=batching.steps_per_epoch,
        cluster=ClusterConfig(num_workers=1, reader_cpus=1),
    )
    configure(DataContext.get_current())
    dataset = training_dataset(plan, range(plan.total_steps), world_size=1)
    dataset.context.execution_options = execution_options()
    (shard,) = dataset.streaming_split(1, equal=True)
    return list(iterate_shard(shard))


@pytest.mark.usefixtures("ray_local")
def test_a_bad_day_of_the_object_storage_changes_nothing(
    s3_root: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(open_storage(s3_root).below("depth"))
    config = DataConfig(root=s3_root, modality="depth", text_source="keyframe")
    calm = stream(read_split(open_storage(s3_root), "depth", "train"), config)
    with fault_proxy(s3_endpoint, rate=0.05) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        bad_day = stream(read_split(open_storage(s3_root), "depth", "train"), config)
    retries = sum(int(arrays["retries"].sum()) for arrays in bad_day)
    print(f"{proxy.num_requests} reads, faults injected {dict(proxy.injected)}, {retries} reads tried again by RayBind")
    assert set(proxy.injected) == set(FAULTS)
    assert retries > 0
    assert len(calm) == len(bad_day) == NUM_SAMPLES // BATCH
    for one, other in zip(calm, bad_day, strict=True):
        for name in ("number", "id", "text", "fault", "prepared", "epoch", "position"):
            np.testing.assert_array_equal(one[name], other[name])
        assert not one["fault"].astype(bool).any()


def test_exactly_what_is_bad_is_listed(tmp_path: Path) -> None:
    folder = open_storage(str(tmp_path / "depth"))
    write_shards(folder)
    index = read_split(open_storage(str(tmp_path)), "depth", "train")
    corrupted = np.random.default_rng(0).choice(NUM_SAMPLES - SAMPLES_PER_SHARD, NUM_SAMPLES // 100, replace=False)
    for number in corrupted.tolist():
        path = tmp_path / "depth" / index.shard_name(number)
        damaged = bytearray(path.read_bytes())
        damaged[int(index.offset[number]) + 700] ^= 1
        path.write_bytes(damaged)
    last = tmp_path / "depth" / index.shards[-1].name
    first_cut = NUM_SAMPLES - SAMPLES_PER_SHARD // 2
    last.write_bytes(last.read_bytes()[: int(index.offset[first_cut]) + 100])

    config = DataConfig(root=str(tmp_path), modality="depth", text_source="keyframe")
    reader, counts = SampleReader(index, config, SHAPE, seed=0), FaultCounts()
    for first in range(0, NUM_SAMPLES, BATCH):
        counts.add(BATCH, bad_samples(reader.read_batch(range(first, first + BATCH), epoch=0)))
    expected = {str(index.ids[number]): "checksum differs" for number in corrupted}
    expected |= {str(index.ids[number]): "shard is cut short" for number in range(first_cut, NUM_SAMPLES)}
    assert {sample.id: sample.cause for sample in counts.quarantine.values()} == expected
