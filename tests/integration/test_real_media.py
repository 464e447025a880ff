"""Real media of five modalities, packed, trained on from the shipped base and evaluated by the same jobs.

The shipped base has read of coloured shapes only, so the figures say that everything real is read, learned from and
scored, not how good an encoder can be: a few hundred samples and a language encoder that has never met their words.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.integration.jobs import run_job

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]


@dataclass(frozen=True)
class RealData:
    """A folder of shared media and how it is trained on."""

    folder: str
    modality: str
    preset: str
    template: str
    label_set: str = "label"
    training: tuple[str, ...] = ()


DATA = (
    RealData(
        "esc10", "audio", "audio_tiny", "the sound of a {}", training=("data.preprocess.audio.target_length=504",)
    ),
    RealData("hituav", "infrared", "infrared_tiny", "A thermal drone view at {}.", label_set="label_time"),
    RealData("nyuv2_train", "depth", "depth_tiny", "A {}."),
    RealData("intel_videos", "video", "video_tiny", "{}", training=("training.global_batch_size=16",)),
    RealData("tuxpaint_stamps", "image", "depth_tiny", "{}"),
)


@pytest.mark.parametrize("data", DATA, ids=lambda data: f"{data.modality}-{data.folder}")
def test_packs_trains_and_scores(data: RealData, shared_data: Path, tmp_path: Path) -> None:
    source = ["source.kind=jsonl", f"source.location={shared_data / data.folder}", f"modalities=[{data.modality}]"]
    run_job(PROJECT, "jobs/pack.py", *source, f"output={tmp_path}/data")
    prompts = f"templates=['{data.template}']"
    settings = [
        f"data.root={tmp_path}/data",
        f"data.modality={data.modality}",
        "data.text_source=caption",
        "run.name=run",
        f"run.output={tmp_path}",
        "schedule.epochs=20",
        "training.global_batch_size=32",
        "training.log_every_steps=5",
        f"validation.label_set={data.label_set}",
        f"validation.{prompts}",
        *data.training,
    ]
    run_job(PROJECT, "jobs/train.py", "--config", f"jobs/presets/{data.preset}.yaml", *settings)
    loss = [line["train/loss"] for line in logged(tmp_path) if "train/loss" in line]
    report = f"output={tmp_path}/report"
    scored = ["split=val", f"label_set={data.label_set}", prompts, report]
    print(run_job(PROJECT, "jobs/evaluate.py", f"checkpoint={tmp_path}/run", *scored))
    print(f"{data.folder} ({data.modality}): loss {loss[0]:.3f} -> {loss[-1]:.3f} in {len(loss)} log lines")
    scores = json.loads((tmp_path / "report/result.json").read_text())["scores"]
    assert loss[-1] < 0.8 * loss[0]
    assert scores["zero_shot/top1"]["low"] < scores["zero_shot/top1"]["high"]


def logged(folder: Path) -> list[dict]:
    """The lines of the one metrics.jsonl below a folder."""
    (file,) = folder.rglob("metrics.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]
