"""What a step costs beyond the plain one: seconds of a step on ViT-B/32, depth, in three arms.

Plain: a process for each worker, torch's DistributedDataParallel around the same model, the same loss and AdamW, the
batch in memory. Streamed: the training job with Ray Data, Ray Train, DeepSpeed ZeRO-2, metrics and MLflow. In memory:
the same job, whose batches are not read but there already; what it takes less is streaming.

Measured with two workers, and with one that leaves a core of two to Ray: its daemons and idle actors, about seventeen
processes, take a tenth of two cores that are busy, which is nearly all of the difference.

Arms take turns, each on a machine of its own time: Ray is started for a job and ended after it. A record is the mean of
some steps; the median of an arm's records counts, without the first of each run. Ratios mean something only where
nothing else runs.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import ray
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mlflow import MlflowClient
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from raybind.app import embed_text, train, train_run
from raybind.config.base import load_config
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.config.train import TrainConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import read_split, shard_name
from raybind.data.reader import Arrays, SampleReader
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.modalities import get_modality
from raybind.model.architecture import read_architecture
from raybind.model.base import load_base, to_open_clip
from raybind.model.bound import MAX_LOGIT_SCALE, BoundModel
from raybind.model.tokenizer import Tokenizer
from raybind.objective.contrastive import contrastive_loss
from raybind.training.batch import Batch, Collator
from raybind.training.optimizer import make_optimizer
from raybind.training.task import input_shape, starting_model
from raybind.training.text_embeddings import require_cache

pytestmark = [pytest.mark.bench, pytest.mark.ray]

MICRO_BATCH, NUM_SAMPLES = 16, 64
STEPS_PER_RECORD, NUM_RECORDS, NUM_ROUNDS = 4, 6, 2
NUM_STEPS = STEPS_PER_RECORD * NUM_RECORDS
WORLD = TinyVidalConfig(modalities=("depth",), num_frames=1, image_size_px=224)


def write_shards(root: Path) -> None:
    folder = open_storage(str(root / "depth"))
    writer = ShardWriter(folder, "depth", shard_name("train", 0))
    for number in range(NUM_SAMPLES):
        sample = render_sample(WORLD, "train", number)
        writer.add(sample.metadata, sample.media["depth"])
    write_manifest(folder, "depth", {"train": [writer.close()]})


def write_base(path: Path) -> None:
    torch.manual_seed(0)
    model = BoundModel(read_architecture("ViT-B-32"))
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    save_file(to_open_clip(model.state_dict()), path)


def arguments(folder: Path, name: str, num_workers: int) -> list[str]:
    """Of the training job."""
    return [
        f"data.root={folder}/data",
        "data.modality=depth",
        "data.text_source=keyframe",
        "data.text_embeddings=cached",
        f"run.name={name}",
        f"run.output={folder}/runs",
        "model.base.architecture=ViT-B-32",
        f"model.base.weights={folder}/base.safetensors",
        "model.lora.rank=2",
        "model.lora.dropout=0",
        "model.mask_ratio=0.5",
        "schedule.epochs=1000",
        f"schedule.max_steps={NUM_STEPS}",
        "schedule.warmup_steps=1",
        f"training.global_batch_size={num_workers * MICRO_BATCH}",
        "training.precision=fp32",
        "training.zero_stage=2",
        f"training.log_every_steps={STEPS_PER_RECORD}",
        "validation.split=null",
        f"cluster.num_workers={num_workers}",
        "cluster.worker_cpus=0.5",
        "cluster.reader_cpus=0.5",
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
    ]


def by_job(folder: Path, name: str, num_workers: int) -> list[float]:
    """Seconds of a step, record by record, of the job as a user runs it."""
    try:
        assert train.main(arguments(folder, name, num_workers)) == 0
    finally:
        ray.shutdown()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("raybind")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    history = client.get_metric_history(run.info.run_id, "time/step_seconds")
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def by_job_in_memory(folder: Path, name: str, held: list[Arrays]) -> list[float]:
    """The same job, with every worker's micro-batch at hand."""

    # Local, so that it goes to the workers by its value: they cannot import the tests.
    def worker(job: dict[str, Any]) -> None:
        from raybind.app import train_worker

        def batches(total_steps: int, num_workers: int, first_step: int) -> Iterator[Arrays]:
            arrays = held[ray.train.get_context().get_world_rank()]
            for step in range(first_step, total_steps):
                cursor, rows = job["plan"][0].cursor_at(step), len(arrays["number"])
                yield arrays | {"epoch": np.full(rows, cursor.epoch), "position": np.full(rows, cursor.position)}

        with patch.object(train_worker, "worker_batches", batches):
            train_worker.train_worker(job)

    with patch.object(train_run, "_start_worker", worker):
        return by_job(folder, name, len(held))


def read_in_advance(config: TrainConfig) -> list[Arrays]:
    """The first micro-batch of each worker."""
    index = read_split(open_storage(config.data.root), "depth", "train")
    weights = config.model.base.weights
    assert weights is not None
    fingerprint = load_base(read_architecture("ViT-B-32"), weights).fingerprint
    cache = require_cache(config, index, fingerprint)
    reader = SampleReader(index, config.data, input_shape(config), config.run.seed, cache)
    return [
        reader.read_batch(list(range(first, first + MICRO_BATCH)), 0)
        for first in range(0, config.training.global_batch_size, MICRO_BATCH)
    ]


def plain(folder: Path, config: TrainConfig, held: list[Arrays]) -> list[float]:
    """Seconds of a step, record by record, without the platform's engine and loop."""
    vision, text = read_architecture("ViT-B-32").vision, read_architecture("ViT-B-32").text
    collate = Collator(
        Tokenizer(text.vocab_size, text.context_length),
        vision.num_patches,
        config.model.mask_ratio,
        config.run.seed,
        torch.device("cpu"),
        get_modality("depth"),
        config.data.preprocess,
    )
    batches = [collate(arrays | {"epoch": np.zeros(MICRO_BATCH, int)}) for arrays in held]
    result = folder / f"plain-{time.time_ns()}"
    mp.spawn(plain_worker, (result, config, batches), nprocs=len(batches))
    return torch.load(result)


def plain_worker(rank: int, result: Path, config: TrainConfig, batches: list[Batch]) -> None:
    """One process of the plain arm; rank 0 writes the result."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{result}.rendezvous", rank=rank, world_size=len(batches))
    model, _ = starting_model(config, with_language=False)
    step = partial(plain_step, DistributedDataParallel(model), make_optimizer(model, config.optimizer), batches[rank])
    records = [timed_record(step) for _ in range(NUM_RECORDS)]
    if rank == 0:
        torch.save(records, result)
    dist.barrier()
    dist.destroy_process_group()


def plain_step(model: DistributedDataParallel, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    features = model(batch.pixel_values, batch.texts, batch.kept_BM)
    loss = contrastive_loss(features.modality_BE, features.text_BE, features.scale, batch.valid_B)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        model.module.logit_scale.clamp_(0.0, MAX_LOGIT_SCALE)
    return loss.detach()


def timed_record(step: Callable[[], Tensor]) -> float:
    """Mean seconds of a step."""
    began = time.perf_counter()
    for _ in range(STEPS_PER_RECORD):
        step()
    return (time.perf_counter() - began) / STEPS_PER_RECORD


@pytest.mark.parametrize("num_workers", [2, 1])
def test_overhead_of_a_step(num_workers: int, tmp_path: Path) -> None:
    write_shards(tmp_path / "data")
    write_base(tmp_path / "base.safetensors")
    try:
        assert embed_text.main(arguments(tmp_path, "texts", num_workers)) == 0
    finally:
        ray.shutdown()
    config = load_config(TrainConfig, None, arguments(tmp_path, "plain", num_workers))
    held = read_in_advance(config)
    arms: dict[str, Callable[[int], list[float]]] = {
        "plain": lambda _: plain(tmp_path, config, held),
        "streamed": lambda turn: by_job(tmp_path, f"streamed-{turn}", num_workers),
        "in memory": lambda turn: by_job_in_memory(tmp_path, f"in-memory-{turn}", held),
    }
    records: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(NUM_ROUNDS):
        for name, arm in arms.items():
            found = arm(turn)
            print(f"  round {turn}, {name}: " + " ".join(f"{seconds:.3f}" for seconds in found), flush=True)
            records[name] += found[1:]
    seconds = {name: statistics.median(found) for name, found in records.items()}
    print(f"\nViT-B/32, depth, LoRA r = 2, mask 0.5, float32, {num_workers} workers x {MICRO_BATCH}, 1 thread each")
    for name, aim in (("plain", 0.0), ("streamed", 0.08), ("in memory", 0.05)):
        over = seconds[name] / seconds["plain"] - 1
        print(f"  {name:10} {seconds[name]:.3f} s a step, {over:+.1%} over plain (aim: at most {aim:+.0%})")
    assert len(records["streamed"]) == len(records["plain"])
