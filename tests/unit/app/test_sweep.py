"""Every trial of a sweep is checked before one starts, and what is wrong is said with the trial that has it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from raybind.app.sweep import SWEEP_RECORD, main
from raybind.app.sweep_plan import plan_trials
from raybind.config.base import load_config
from raybind.config.sweep import SweepConfig
from raybind.data.manifest import shard_name
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest

PROJECT = Path(__file__).resolve().parents[3]

SPACES = sorted((PROJECT / "sweeps").glob("*.yaml"))


@pytest.fixture
def space(tmp_path: Path, tiny_media: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space of three ranks over 64 training and 4 validation samples, on a machine that is no cluster's."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    storage = open_storage(str(tmp_path / "data")).below("depth")
    shards = {}
    for split, number in (("train", 64), ("val", 4)):
        writer = ShardWriter(storage, "depth", shard_name(split, 0))
        for i in range(number):
            sample = SampleMetadata(id=f"{split}{i}", texts=Texts(captions=[f"scene {i}"]), labels={"label": str(i)})
            writer.add(sample, [MediaFile("0.png", tiny_media.depth_png)])
        shards[split] = [writer.close()]
    write_manifest(storage, "depth", shards)
    (tmp_path / "base.safetensors").touch()
    preset = {
        "run": {"name": "preset"},
        "data": {"root": str(tmp_path / "data"), "modality": "depth"},
        "model": {"base": {"architecture": "ViT-Tiny-14", "weights": str(tmp_path / "base.safetensors")}},
        "schedule": {"epochs": 4, "warmup_samples": 32},
        "training": {"global_batch_size": 16},
        "cluster": {"worker_cpus": 0.5, "reader_cpus": 0.5},
    }
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(preset))
    sweep = {
        "name": "ranks",
        "output": str(tmp_path / "out"),
        "preset": str(tmp_path / "preset.yaml"),
        "space": {"model.lora.rank": [2, 4, 8]},
    }
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(sweep))
    return tmp_path / "space.yaml"


def check(space: Path, *overrides: str) -> int:
    return main([str(space), *overrides, "--check"])


def test_a_valid_sweep_passes_and_shows_its_trials(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(space) == 0
    shown = capsys.readouterr().out
    assert "3 trials, 1 at a time" in shown
    assert "trial-01 (rank=4): 16 steps, 256 samples" in shown


def test_trials_are_the_preset_then_train_then_the_space(space: Path) -> None:
    config = load_config(SweepConfig, space, ["train.optimizer.lr=0.125", "train.schedule.epochs=2"])
    trials = plan_trials(config)
    assert [trial.config.model.lora.rank for trial in trials] == [2, 4, 8]
    assert {trial.config.optimizer.lr for trial in trials} == {0.125}
    assert {trial.plan.schedule.total_steps for trial in trials} == {8}
    assert trials[2].config.run.output == f"{config.output}/ranks"
    assert trials[2].config.run.name == "trial-02"
    assert {trial.config.training.global_batch_size for trial in trials} == {16}


def test_a_batch_size_changes_neither_samples_nor_warm_up_nor_what_is_compared(space: Path) -> None:
    overrides = ["space={training.global_batch_size: [8, 16, 32]}", "validate_every_epochs=0.5"]
    trials = plan_trials(load_config(SweepConfig, space, overrides))
    for trial in trials:
        batch = trial.config.training.global_batch_size
        assert trial.plan.schedule.total_steps * batch == 256
        assert trial.plan.schedule.warmup_steps * batch == 32
        assert trial.config.training.checkpoint_every_steps * batch == 32


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["space={model.lora.rnk: [2]}"], ["trial-00 (rnk=2)", "model.lora.rnk: unknown key; did you mean 'rank'?"]),
        (["space={model.mask_ratio: [0.5, 1.5]}"], ["trial-01 (mask_ratio=1.5)", "model.mask_ratio=1.5"]),
        (["space={training.global_batch_size: [16, 128]}"], ["trial-01 (global_batch_size=128)", "64 samples"]),
        (["train.data.root=/nowhere"], ["trial-00 (rank=2), trial-01 (rank=4)", "/nowhere"]),
        (["train.data.modality=smell"], ["smell"]),
        (["train.run.name=mine"], ["run.name: the sweep sets it"]),
        (["space={tracking.uri: [a, b]}"], ["tracking.uri: the sweep sets it"]),
        (["max_concurrent_trials=3"], ["3 trials at a time", "need 3 CPUs, the cluster has 2"]),
        (["metric=val/zero_shot/top-1"], ["did you mean 'val/zero_shot/top1'?"]),
        (["metric=test/zero_shot/top1"], ["metric='test/zero_shot/top1'"]),
        (["train.validation.split=null"], ["set train.validation.split"]),
        (["scheduler.kind=asha", "scheduler.grace_epochs=4"], ["scheduler.grace_epochs=4 is not below the 4 epochs"]),
        (["search=random"], ["num_samples=None"]),
        (["preset=gone.yaml"], ["preset gone.yaml: No such file"]),
        (["trials=3"], ["trials: unknown key"]),
    ],
)
def test_bad_input_ends_with_code_2_and_says_what(
    space: Path, overrides: list[str], messages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(space, *overrides) == 2
    said = capsys.readouterr().err
    assert [message for message in messages if message not in said] == [], said


def test_a_sweep_never_writes_into_another(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (space.parent / "out" / "ranks").mkdir(parents=True)
    (space.parent / "out" / "ranks" / SWEEP_RECORD).touch()
    assert check(space) == 2
    assert "sweep 'ranks' exists" in capsys.readouterr().err
    assert check(space, "name=ranks-2") == 0


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_the_spaces_that_are_shipped_fit_their_preset(path: Path, space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    overrides = [
        f"train.data.root={space.parent / 'data'}",
        "train.data.text_source=caption",
        f"train.model.base.weights={space.parent / 'base.safetensors'}",
        "train.schedule.epochs=100",
        "train.training.global_batch_size=16",
    ]
    if path.stem in ("batch_size", "demo"):
        overrides.append("space.training.global_batch_size=[8, 16]")
    trials = plan_trials(load_config(SweepConfig, path, overrides))
    assert len(trials) == {"demo": 4, "temperature": 3, "batch_size": 2}.get(path.stem, 5)


def test_a_check_starts_neither_ray_nor_mlflow(space: Path) -> None:
    code = (
        "import sys; from raybind.app.sweep import main; code = main(sys.argv[1:]); "
        "sys.exit(code or any(name in sys.modules for name in ('ray', 'mlflow', 'torch')))"
    )
    command = [sys.executable, "-c", code, str(space), "--check"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "platform")}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
