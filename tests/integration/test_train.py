"""The main job on real parts: shards in an S3 bucket, Ray Data, Ray Train, DeepSpeed, MLflow; then its evaluation."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from raybind.app import evaluate, train
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import read_split, shard_name
from raybind.data.storage import Storage, open_storage
from raybind.data.writer import ShardWriter, write_manifest

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

WORLD = TinyVidalConfig(modalities=("depth",), num_frames=1)
SPLITS = {"train": 40, "val": 16}


def write_shards(root: Storage) -> None:
    splits = {}
    for split, count in SPLITS.items():
        writer = ShardWriter(root.below("depth"), "depth", shard_name(split, 0))
        for number in range(count):
            sample = render_sample(WORLD, split, number)
            writer.add(sample.metadata, sample.media["depth"])
        splits[split] = [writer.close()]
    write_manifest(root.below("depth"), "depth", splits)


def arguments(data: str, output: str, base_weights: Path, tracking: str) -> list[str]:
    return [
        f"data.root={data}",
        "data.modality=depth",
        "data.text_source=keyframe",
        "run.name=first",
        f"run.output={output}",
        "model.base.architecture=ViT-Tiny-14",
        f"model.base.weights={base_weights}",
        "schedule.epochs=2",
        "schedule.warmup_steps=1",
        "training.global_batch_size=8",
        "training.precision=fp32",
        "training.log_every_steps=2",
        "training.checkpoint_every_steps=5",
        "cluster.num_workers=2",
        "cluster.worker_cpus=0.5",
        "cluster.reader_cpus=0.5",
        f"tracking.uri={tracking}",
    ]


@pytest.mark.usefixtures("ray_local")
def test_train_and_evaluate(
    s3_root: str, tmp_path: Path, base_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(open_storage(f"{s3_root}/data"))
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    argv = arguments(f"{s3_root}/data", f"{s3_root}/runs", base_weights, tracking)
    assert train.main(argv) == 0
    printed = capsys.readouterr().out
    assert "step 10/10  loss" in printed
    assert "zero-shot top-1" in printed

    run_folder = open_storage(f"{s3_root}/runs/first")
    client = MlflowClient(tracking)
    run = client.get_run(json.loads(run_folder.read("raybind-run.json"))["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.lora.rank"] == "2"
    index = read_split(open_storage(f"{s3_root}/data"), "depth", "train")
    assert run.data.tags["raybind.manifest_digest"] == index.manifest_digest
    assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == [2, 4, 6, 8, 10]
    assert run.data.metrics["data/samples_read"] == 80
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "environment.txt", "metrics.jsonl", "trainable_parameters.tsv"} <= artifacts
    newest = {key.split("/")[0] for key in run_folder.list() if key.endswith("parameters.safetensors")}
    assert {name.split("-")[1] for name in newest} == {"00000005", "00000010"}

    assert train.main(argv) == 0
    assert "complete at step 10" in capsys.readouterr().out
    assert train.main([*argv, "model.lora.rank=3"]) == 2
    assert "model.lora.rank was 2, now 3" in capsys.readouterr().err

    assert evaluate.main([f"checkpoint={s3_root}/runs/first", f"output={tmp_path}/report"]) == 0
    assert "untrained encoder" in capsys.readouterr().out
    assert (tmp_path / "report" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["evaluation/val/zero_shot/top1_chance"] == pytest.approx(1 / 16)
    assert metrics["evaluation/val/zero_shot/top1"] == metrics["val/zero_shot/top1"], "training saw the same numbers"


@pytest.mark.usefixtures("ray_local")
def test_bad_samples_are_counted_listed_and_stop_the_run_above_the_rate(
    tmp_path: Path, base_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(open_storage(str(tmp_path / "data")))
    index = read_split(open_storage(str(tmp_path / "data")), "depth", "train")
    shard = tmp_path / "data" / "depth" / index.shards[0].name
    damaged = bytearray(shard.read_bytes())
    for number in (3, 17):
        damaged[int(index.offset[number]) + 600] ^= 1
    shard.write_bytes(damaged)
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    argv = arguments(str(tmp_path / "data"), str(tmp_path), base_weights, tracking)
    assert train.main([*argv, "run.name=strict", "data.max_bad_sample_rate=0.001"]) == 1
    error = capsys.readouterr().err
    assert "2 x checksum differs, e.g. " in error
    assert "CRC-32" in error
    strict = find_run(tracking, "strict")
    assert strict.info.status == "FAILED"
    assert strict.data.metrics["data/bad_samples"] == strict.data.metrics["data/bad/checksum differs"] == 2

    assert train.main([*argv, "run.name=patient"]) == 0
    patient = find_run(tracking, "patient")
    listed = tmp_path / "quarantine.jsonl"
    listed.write_text(artifact(patient))
    assert [json.loads(line)["id"] for line in listed.read_text().splitlines()] == [index.ids[3], index.ids[17]]
    clean = [*argv, "run.name=clean", f"data.skip_list={listed}", "data.max_bad_sample_rate=0"]
    assert train.main(clean) == 0
    assert find_run(tracking, "clean").data.metrics["data/bad_samples"] == 0
    listed.write_text("")
    assert train.main(clean) == 2
    assert "the run stands at step 8 of other data" in capsys.readouterr().err


def find_run(tracking: str, name: str) -> Run:
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("raybind")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return run


def artifact(run: Run) -> str:
    return mlflow.artifacts.load_text(f"{run.info.artifact_uri}/quarantine.jsonl")
