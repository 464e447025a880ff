"""A sweep of real trials: one that finishes, one that fails, one that is stopped early; nothing of them is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.torch import save_file

from raybind.data.manifest import shard_name
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.model.architecture import read_architecture
from raybind.model.base import to_open_clip
from raybind.model.bound import BoundModel

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]

NUM_CLASSES = 8

# Runs a sweep as sweeps/run.py does, then looks at the cluster that is still there.
PROBE = """
import json, sys, time
from raybind.app.sweep import main
code = main(sys.argv[1:])
import ray
deadline = time.monotonic() + 30
while True:
    groups = [group for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"]
    free = ray.available_resources()
    left = {"groups": len(groups), "cpus": free.get("CPU", 0), "slots": free.get("tune_driver", 0)}
    if left == {"groups": 0, "cpus": 2, "slots": 2} or time.monotonic() > deadline:
        break
    time.sleep(1)
print("PROBE " + json.dumps({"code": code, "left": left}))
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A sweep that has run: what it printed, its folder, its runs in MLflow, what it left in the cluster."""
    folder = write_inputs(tmp_path_factory.mktemp("sweep"))
    command = [sys.executable, "-c", PROBE, str(folder / "space.yaml")]
    done = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True)
    found = [line.removeprefix("PROBE ") for line in done.stdout.splitlines() if line.startswith("PROBE ")]
    assert found, done.stdout + done.stderr
    return SimpleNamespace(
        **json.loads(found[0]), printed=done.stdout, folder=folder / "out" / "rates", runs=runs(folder / "out")
    )


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write_inputs(tmp_path)


def environment() -> dict[str, str]:
    """This process's, without a way to a cluster or a tracker that happen to be there."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    return inherited | {"PYTHONPATH": str(PROJECT / "platform"), "RAY_USAGE_STATS_ENABLED": "0"}


def runs(output: Path) -> dict[str, Run]:
    """The MLflow runs below a sweep's output, by name."""
    client = MlflowClient(f"sqlite:///{output / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("raybind")
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def write_inputs(folder: Path) -> Path:
    write_shards(folder / "data")
    write_base(folder / "base.safetensors")
    (folder / "broken.safetensors").write_bytes(b"not weights")
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset(folder)))
    (folder / "space.yaml").write_text(yaml.safe_dump(space(folder)))
    return folder


def write_shards(root: Path) -> None:
    """Planes at one of a few distances, each named by its caption: learnt in a few steps."""
    storage = open_storage(str(root)).below("depth")
    shards = {}
    for split, number in (("train", 64), ("val", 32)):
        writer = ShardWriter(storage, "depth", shard_name(split, 0))
        for i in range(number):
            distance = 1000 * (1 + i % NUM_CLASSES)
            plane = cv2.imencode(".png", np.full((32, 32), distance, np.uint16))[1].tobytes()
            texts = Texts(captions=[f"a plane at {distance} millimetres"])
            writer.add(SampleMetadata(id=f"{split}{i}", texts=texts), [MediaFile("0.png", plane)])
        shards[split] = [writer.close()]
    write_manifest(storage, "depth", shards)


def write_base(path: Path) -> None:
    torch.manual_seed(0)
    model = BoundModel(read_architecture("ViT-Tiny-14"))
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    save_file(to_open_clip(model.state_dict()), path)


def preset(folder: Path) -> dict[str, Any]:
    return {
        "run": {"name": "preset"},
        "data": {"root": str(folder / "data"), "modality": "depth", "text_source": "caption"},
        "model": {"base": {"architecture": "ViT-Tiny-14"}, "tuning": "full"},
        "schedule": {"epochs": 6, "warmup_samples": 16},
        "training": {"global_batch_size": 16, "precision": "fp32", "log_every_steps": 4},
        "cluster": {"worker_cpus": 0.5, "reader_cpus": 0.5, "max_failures": 0},
    }


def space(folder: Path) -> dict[str, Any]:
    """A trial that fails beside one that learns, and in the former's place, so later, one that does not learn."""
    points = [("broken", 1e-3), ("base", 1e-3), ("base", 1e-12)]
    axis = [{"model.base.weights": str(folder / f"{file}.safetensors"), "optimizer.lr": lr} for file, lr in points]
    return {
        "name": "rates",
        "output": str(folder / "out"),
        "preset": str(folder / "preset.yaml"),
        "space": {"start": axis},
        "metric": "val/retrieval/item_to_text/recall_at_1",
        "validate_every_epochs": 2,
        "scheduler": {"kind": "asha", "grace_epochs": 2},
        "max_concurrent_trials": 2,
    }


def test_trials_finish_fail_and_stop_early_side_by_side(sweep: SimpleNamespace) -> None:
    trials = json.loads((sweep.folder / "ranking.json").read_text())["trials"]
    states = {trial["name"]: trial["state"] for trial in trials}
    assert states == {"trial-00": "failed", "trial-01": "finished", "trial-02": "stopped early"}, sweep.printed
    assert sweep.code == 0
    by_name = {trial["name"]: trial for trial in trials}
    assert [report["step"] for report in by_name["trial-01"]["reports"]] == [8, 16, 24]
    assert by_name["trial-01"]["reports"][-1]["samples"] == 24 * 16
    assert by_name["trial-02"]["reports"][-1]["step"] < 24
    assert "header" in by_name["trial-00"]["cause"], by_name["trial-00"]


def test_nothing_is_left_of_the_trials_in_the_cluster(sweep: SimpleNamespace) -> None:
    assert sweep.left == {"groups": 0, "cpus": 2, "slots": 2}


def test_every_trial_is_a_run_below_the_sweeps_and_none_is_left_running(sweep: SimpleNamespace) -> None:
    parent = sweep.runs["rates"]
    assert {name: run.info.status for name, run in sweep.runs.items()} == {
        "rates": "FINISHED",
        "trial-00": "FAILED",
        "trial-01": "FINISHED",
        "trial-02": "KILLED",
    }
    trials = [run for name, run in sweep.runs.items() if name != "rates"]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    stopped = [run.info.run_name for run in trials if run.data.tags.get("raybind.stopped_early") == "true"]
    assert stopped == ["trial-02"]
    assert parent.data.params["scheduler.kind"] == "asha"
    assert sweep.runs["trial-02"].data.params["optimizer.lr"] == "1e-12"
    client = MlflowClient(f"sqlite:///{sweep.folder.parent / 'mlflow.db'}")
    artifacts = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"ranking.md", "ranking.json", "ranking.png"} <= artifacts


def test_the_console_shows_reports_as_they_come_and_the_ranking(sweep: SimpleNamespace) -> None:
    assert "trial-01  step  8/24  val/retrieval/item_to_text/recall_at_1" in sweep.printed
    ranking = sweep.printed[sweep.printed.index("sweep rates, by") :]
    assert ranking.index("trial-01") < ranking.index("trial-02") < ranking.index("trial-00")
    assert sweep.runs["trial-01"].info.run_id[:8] in ranking


@pytest.mark.prove
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl+C", "ray job stop"])
def test_an_interrupted_sweep_leaves_no_run_running(inputs: Path, signal_number: int) -> None:
    command = [sys.executable, str(PROJECT / "sweeps" / "run.py"), str(inputs / "space.yaml"), "name=interrupted"]
    process = subprocess.Popen(
        command, env=environment(), cwd=inputs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    printed = ""
    while "step  8/24" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    began = time.monotonic()
    process.send_signal(signal_number)
    printed += process.stdout.read()
    assert process.wait() != 0
    print(f"ended {time.monotonic() - began:.1f} s after the signal")
    statuses = {name: run.info.status for name, run in runs(inputs / "out").items()}
    assert statuses["interrupted"] == "KILLED", printed
    assert statuses["trial-01"] == "KILLED"
    assert "RUNNING" not in statuses.values()
    assert "interrupted" in printed[printed.index("sweep interrupted, by") :]
