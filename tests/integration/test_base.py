"""The tiny base: a short piece of its pretraining by its own preset, and the file that ships."""

import hashlib
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors import safe_open

from raybind.app import export_base, train
from raybind.config.base import load_config
from raybind.config.model import BaseConfig, ModelConfig
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.config.train import TrainConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import shard_name
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.model.architecture import read_architecture, shipped_weights
from raybind.model.bound import build_model

PRESET = Path(__file__).resolve().parents[2] / "jobs" / "presets" / "tiny_base.yaml"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_its_preset_pretrains_and_exports(tmp_path: Path) -> None:
    world = TinyVidalConfig(seed=1, modalities=("image",))
    splits = {}
    for split, count in (("train", 64), ("val", 16)):
        writer = ShardWriter(open_storage(str(tmp_path / "data/image")), "image", shard_name(split, 0))
        for number in range(count):
            sample = render_sample(world, split, number)
            writer.add(sample.metadata, sample.media["image"])
        splits[split] = [writer.close()]
    write_manifest(open_storage(str(tmp_path / "data/image")), "image", splits)

    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    overrides = [
        f"data.root={tmp_path}/data",
        f"run.output={tmp_path}/runs",
        "schedule.epochs=3",
        "schedule.warmup_steps=1",
        "training.global_batch_size=16",
        "training.log_every_steps=4",
        f"tracking.uri={tracking}",
        "cluster.worker_cpus=0.5",
        "cluster.reader_cpus=0.5",
    ]
    assert train.main(["--config", str(PRESET), *overrides]) == 0
    client = MlflowClient(tracking)
    (run,) = client.search_runs([client.get_experiment_by_name("raybind").experiment_id])
    losses = [metric.value for metric in client.get_metric_history(run.info.run_id, "train/loss")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]

    output = tmp_path / "base.safetensors"
    assert export_base.main([f"checkpoint={tmp_path}/runs/tiny-base", f"output={output}"]) == 0
    model, _ = build_model(ModelConfig(base=BaseConfig(architecture="ViT-Tiny-14", weights=str(output))), seed=0)
    assert not model.language.token_embedding.weight.requires_grad


def test_the_shipped_file_is_the_one_its_preset_names() -> None:
    path = shipped_weights(read_architecture("ViT-Tiny-14"), "tinyvidal")
    assert path is not None
    assert path.stat().st_size < 10_000_000
    (digest,) = re.findall(r"SHA-256 ([0-9a-f]{64})", PRESET.read_text())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    config = load_config(TrainConfig, PRESET)
    assert (metadata["architecture"], metadata["seed"]) == ("ViT-Tiny-14", str(config.run.seed))
    (num_train,) = map(int, re.findall(r"tiny_vidal.num_train=(\d+)", PRESET.read_text()))
    assert int(metadata["steps"]) == config.schedule.epochs * (num_train // config.training.global_batch_size)
