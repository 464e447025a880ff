"""Samples a second of the Ray Data path beside webdataset's WebLoader: same shards, same decoding and transform, two
reading processes each, from a folder and from an S3 endpoint.

WebLoader streams each tar from its start and mixes within a buffer; ours reads every sample by its place in the epoch
order. Processes that start count for neither: the first quarter of the batches is not timed. Both get the best of three
rounds, in turn.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import ray
import webdataset as wds
from ray.data import DataContext

from raybind.config.data import DataConfig
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import read_split, shard_name
from raybind.data.order import Batching
from raybind.data.storage import Storage, open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.integrations.ray_data import StreamPlan, configure, execution_options, iterate_shard, training_dataset
from raybind.modalities import get_modality
from tests.conftest import PROJECT

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.s3]

NUM_SAMPLES = {"depth": 6144, "audio": 3072, "video": 1536, "image": 6144}
NUM_DISTINCT, SAMPLES_PER_SHARD, BATCH, NUM_READERS = 128, 128, 64, 2
IMAGE_SIZE = {"image": 224, "depth": 224, "audio": 112, "video": 112}
"""Pixels of the stored pictures."""


def write_shards(folder: Storage, modality: str) -> None:
    """A few generated samples again and again, under ids of their own."""
    world = TinyVidalConfig(modalities=(modality,), num_frames=8, image_size_px=IMAGE_SIZE[modality])  # pyright: ignore[reportArgumentType]
    made = [render_sample(world, "train", number) for number in range(NUM_DISTINCT)]
    shards = []
    for first in range(0, NUM_SAMPLES[modality], SAMPLES_PER_SHARD):
        writer = ShardWriter(folder, modality, shard_name("train", first // SAMPLES_PER_SHARD))
        for number in range(first, first + SAMPLES_PER_SHARD):
            sample = made[number % NUM_DISTINCT]
            media = sample.media[modality][:1]
            writer.add(sample.metadata.model_copy(update={"id": f"s{number}"}), media)
        shards.append(writer.close())
    write_manifest(folder, modality, {"train": shards})


def config_of(root: str, modality: str) -> DataConfig:
    source = {"audio": "sound", "video": "video"}.get(modality, "keyframe")
    return DataConfig.model_validate({"root": root, "modality": modality, "text_source": source})


def by_ray(config: DataConfig) -> Iterator[int]:
    """Sizes of the batches as they come, from Ray Data."""
    index = read_split(open_storage(config.root), config.modality, "train")
    batching = Batching(len(index), BATCH)
    plan = StreamPlan(
        index=ray.put(index),
        text_cache=None,
        config=config,
        shape=get_modality(config.modality).input_shape(224, config.preprocess),
        seed=0,
        batching=batching,
        total_steps=batching.steps_per_epoch,
        num_workers=1,
        reader_cpus=2 / NUM_READERS,
    )
    configure(DataContext.get_current())
    dataset = training_dataset(plan, range(plan.total_steps))
    dataset.context.execution_options = execution_options()
    (shard,) = dataset.streaming_split(1, equal=True)
    for arrays in iterate_shard(shard):
        assert not arrays["fault"].astype(bool).any()
        yield len(arrays["number"])


def by_webloader(urls: list[str], config: DataConfig) -> Iterator[int]:
    """The same from webdataset."""
    modality, preprocess = get_modality(config.modality), config.preprocess
    shape = modality.input_shape(224, preprocess)

    def prepare(sample: dict[str, Any]) -> dict[str, Any]:
        (media,) = (value for key, value in sample.items() if key.split(".")[-1] in modality.file_types)
        text = json.loads(sample["json"])["texts"]
        return {"pixel_values": modality.transform(media, shape, preprocess), "text": text, "id": sample["__key__"]}

    def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
        pixel_values = np.stack([sample["pixel_values"] for sample in samples])
        return {"pixel_values": pixel_values, "text": [s["text"] for s in samples], "id": [s["id"] for s in samples]}

    shuffled = wds.WebDataset(urls, shardshuffle=100, seed=0).shuffle(256)
    batches = shuffled.map(prepare).batched(BATCH, collation_fn=collate)
    for batch in wds.WebLoader(batches, batch_size=None, num_workers=NUM_READERS):
        yield len(batch["id"])


def rate(batches: Iterator[int], num_batches: int) -> float:
    """Samples a second after the first quarter of the batches."""
    for _ in range(num_batches // 4):
        next(batches)
    began = time.perf_counter()
    return sum(batches) / (time.perf_counter() - began)


@pytest.fixture(scope="module")
def ray_as_users_have_it(s3_endpoint: str) -> Iterator[None]:
    """Two CPUs, and the object store that Ray takes by itself, 30 % of the memory."""
    aws = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    environment = {"env_vars": {"PYTHONPATH": str(PROJECT / "platform"), **aws}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("ray_as_users_have_it")
@pytest.mark.parametrize("modality", ["depth", "audio", "video", "image"])
def test_ray_data_beside_webloader(modality: str, tmp_path: Path, s3_root: str, s3_endpoint: str) -> None:
    write_shards(open_storage(str(tmp_path / modality)), modality)
    local = config_of(str(tmp_path), modality)
    files = sorted((tmp_path / modality).glob("*.tar"))
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    keys = {path: f"{prefix}/{modality}/{path.name}" for path in (tmp_path / modality).iterdir()}
    for path, key in keys.items():
        client.upload_file(str(path), bucket, key)
    remote = local.model_copy(update={"root": s3_root})
    signed = [client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": keys[path]}) for path in files]
    urls = [f"pipe:curl -s '{url}'" for url in signed]
    num_batches = NUM_SAMPLES[modality] // BATCH
    for place, config, names in (("folder", local, [str(path) for path in files]), ("S3", remote, urls)):
        rounds = [(rate(by_ray(config), num_batches), rate(by_webloader(names, config), num_batches)) for _ in range(3)]
        ours, theirs = (max(values) for values in zip(*rounds, strict=True))
        print(f"\n{modality} from {place}: Ray Data {ours:.0f}, WebLoader {theirs:.0f} samples/s: {ours / theirs:.2f}")
