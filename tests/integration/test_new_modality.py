"""A modality of the user's own: one short file beside the others, and the jobs pack, train and evaluate it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PROJECT
from tests.integration.jobs import run_job

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

IMU = Path(__file__).with_name("imu.py")
MOTIONS = ("resting", "shaking", "circling", "bouncing")
NUM_SAMPLES = {"train": 192, "val": 64}


def record_motion(motion: str, rng: np.random.Generator) -> np.ndarray:
    """(6, 400) what an IMU measures in four seconds of a motion, 100 a second."""
    signal = rng.normal(0, 0.02, (6, 400))
    phase = 2 * np.pi * np.arange(400) / 100 + rng.uniform(0, 2 * np.pi)
    strength = rng.uniform(0.5, 2)
    match motion:
        case "shaking":
            signal[0] += strength * np.sin(rng.uniform(10, 14) * phase)
        case "circling":
            signal[0], signal[1] = strength * np.sin(2 * phase), strength * np.cos(2 * phase)
            signal[5] += strength
        case "bouncing":
            signal[2] += strength * (np.sin(3 * phase) > 0.9)
    return signal.astype(np.float32)


def write_source(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for split, count in NUM_SAMPLES.items():
        for number in range(count):
            motion = MOTIONS[number % len(MOTIONS)]
            name = f"{split}-{number}"
            np.save(folder / f"{name}.npy", record_motion(motion, rng))
            captions = [f"a {motion} thing", f"we see a {motion} thing"]
            line = {"id": name, "imu": f"{name}.npy", "captions": captions, "label": motion, "split": split}
            lines.append(json.dumps(line))
    (folder / "annotations.jsonl").write_text("\n".join(lines))


def test_one_file_of_at_most_sixty_lines_packs_trains_and_evaluates(tmp_path: Path) -> None:
    assert len(IMU.read_text().splitlines()) <= 60
    tree, source = tmp_path / "tree", tmp_path / "source"
    for name in ("platform", "jobs"):
        shutil.copytree(PROJECT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(IMU, tree / "platform/raybind/modalities")
    source.mkdir()
    write_source(source)

    pack = ["source.kind=jsonl", f"source.location={source}", "modalities=[imu]", "output=data"]
    run_job(tree, "jobs/pack.py", *pack)
    run_job(
        tree,
        "jobs/train.py",
        "--config",
        "jobs/presets/audio_tiny.yaml",
        "run.name=imu",
        "run.output=runs",
        "data.root=data",
        "data.modality=imu",
        "data.text_source=caption",
        "schedule.epochs=6",
        "schedule.warmup_steps=2",
        "training.global_batch_size=32",
        "training.log_every_steps=6",
    )
    run_job(tree, "jobs/evaluate.py", "checkpoint=runs/imu", "split=val", "label_set=label", "output=report")
    scores = json.loads((tree / "report/result.json").read_text())["scores"]
    top1 = scores["zero_shot/top1"]
    assert top1["chance"] == 1 / len(MOTIONS)
    assert top1["low"] > 2 * top1["chance"]
