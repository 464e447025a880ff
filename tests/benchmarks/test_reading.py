"""Samples a second of the Ray Data path beside webdataset's WebLoader: same shards, same decoding and transform, two
reading processes each, from a folder and from an S3 endpoint.

WebLoader streams each tar from its start and mixes within a buffer; ours reads every sample by its place in the epoch
order, and leaves the last step, normalising, to the process that trains: it is done and counted here, on one thread.
Processes that start count for neither: the first quarter of the batches is not timed. Rounds take turns, and the best
one counts.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import numpy as np
import pytest
import ray
import torch
from botocore.config import Config
from ray.data import DataContext
from webdataset.compat import WebDataset, WebLoader

from raybind.config.data import DataConfig
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.config.train import CacheConfig, ClusterConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import read_split, shard_name
from raybind.data.order import Batching
from raybind.data.storage import Storage, open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.integrations.ray_data import StreamPlan, configure, execution_options, iterate_shard, training_dataset
from raybind.modalities import get_modality
from tests.conftest import PROJECT, free_port

torch.set_num_threads(1)

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.s3]

NUM_SAMPLES = {"depth": 6144, "audio": 3072, "video": 1536, "image": 6144}
NUM_DISTINCT, SAMPLES_PER_SHARD, BATCH, NUM_READERS, NUM_EPOCHS, NUM_ROUNDS = 128, 128, 64, 2, 3, 2
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


def by_ray(config: DataConfig, cache: CacheConfig | None = None) -> Iterator[int]:
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
        micro_batch_size=BATCH,
        total_steps=NUM_EPOCHS * batching.steps_per_epoch,
        cluster=ClusterConfig(num_workers=1, reader_cpus=2 / NUM_READERS, cache=cache or CacheConfig()),
    )
    modality = get_modality(config.modality)
    configure(DataContext.get_current())
    dataset = training_dataset(plan, range(plan.total_steps), world_size=1)
    dataset.context.execution_options = execution_options()
    (shard,) = dataset.streaming_split(1, equal=True)
    for arrays in iterate_shard(shard):
        assert not arrays["fault"].astype(bool).any()
        yield len(modality.normalise(torch.from_numpy(arrays["prepared"]), config.preprocess))


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

    shuffled = WebDataset(NUM_EPOCHS * urls, shardshuffle=100, seed=0).shuffle(256)
    batches = shuffled.map(prepare).batched(BATCH, collation_fn=collate)
    for batch in WebLoader(batches, batch_size=None, num_workers=NUM_READERS):
        yield len(batch["id"])


class Speed(NamedTuple):
    """How fast batches came."""

    samples_per_second: float
    """After the first quarter of the batches."""
    seconds: float
    """Of it all, the start of processes included."""


def speed(batches: Iterator[int], num_batches: int) -> Speed:
    """Take all batches as fast as they come."""
    began = time.perf_counter()
    for _ in range(num_batches // 4):
        next(batches)
    quarter = time.perf_counter()
    num_samples = sum(batches)
    ended = time.perf_counter()
    return Speed(num_samples / (ended - quarter), ended - began)


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that rclone serves by the S3 protocol, a bucket a folder; moto's Python takes 2.7 ms for a request, as
    long as decoding several pictures, rclone 0.2 ms."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    keys = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark-secret", "AWS_REGION": "us-east-1"}
    login = f"{keys['AWS_ACCESS_KEY_ID']},{keys['AWS_SECRET_ACCESS_KEY']}"
    address = ["--addr", f"127.0.0.1:{port}", "--auth-key", login]
    command = ["rclone", "serve", "s3", *address, "--dir-cache-time", "1s", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            wait_until_up(port)
            yield folder
            server.terminate()


@pytest.fixture(scope="module")
def ray_as_users_have_it(s3_server: Path) -> Iterator[None]:
    """Two CPUs, and the object store that Ray takes by itself, 30 % of the memory."""
    aws = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    environment = {"env_vars": {"PYTHONPATH": str(PROJECT / "platform"), **aws}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("ray_as_users_have_it")
@pytest.mark.parametrize("modality", ["depth", "audio", "video", "image"])
def test_ray_data_beside_webloader(modality: str, s3_server: Path, tmp_path: Path) -> None:
    folder = s3_server / "bucket" / modality
    write_shards(open_storage(str(folder)), modality)
    local = config_of(str(folder.parent), modality)
    remote = local.model_copy(update={"root": "s3://bucket"})
    files = [str(path) for path in sorted(folder.glob("*.tar"))]
    urls = [f"pipe:curl -s '{signed(f'{modality}/{Path(path).name}')}'" for path in files]
    cache = CacheConfig(folder=str(tmp_path / "cache"))
    num_batches = NUM_EPOCHS * NUM_SAMPLES[modality] // BATCH

    ways = {
        "WebLoader, folder": lambda: by_webloader(files, local),
        "Ray Data, folder": lambda: by_ray(local),
        "WebLoader, S3": lambda: by_webloader(urls, local),
        "Ray Data, S3": lambda: by_ray(remote),
        "Ray Data, S3, empty cache": lambda: by_ray(remote, cache),
    }
    rounds: dict[str, list[Speed]] = {name: [] for name in ways}
    for _ in range(NUM_ROUNDS):
        for name, way in ways.items():
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
            rounds[name].append(speed(way(), num_batches))
    print(
        f"\n{modality}: {NUM_EPOCHS} epochs of {NUM_SAMPLES[modality]}, batches of {BATCH}, best of {NUM_ROUNDS} rounds"
    )
    for name, found in rounds.items():
        theirs = rounds[f"WebLoader, {'S3' if 'S3' in name else 'folder'}"]
        rates, seconds = (max(f.samples_per_second for f in r) for r in (found, theirs)), min(f.seconds for f in found)
        ours, other = rates
        print(f"  {name:26} {ours:6.0f} samples/s, {ours / other:.2f} of WebLoader; in all {seconds:.1f} s")


def signed(key: str) -> str:
    """An address at which curl reads an object."""
    client = boto3.client("s3", config=Config(signature_version="s3v4"))
    return client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": key})


def wait_until_up(port: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing answers at port {port}")
