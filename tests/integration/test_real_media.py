"""Real media of five modalities, packed, trained on from the shipped base and evaluated by the same jobs.

The shipped base has read of coloured shapes only, so the figures say that everything real is read, learned from and
scored, not how good an encoder can be: a few hundred samples and a language encoder that has never met their words.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raybind.evaluation.embedding_cache import table_items
from raybind.evaluation.items import EmbeddedItems
from raybind.model.layouts import write_encoder
from tests.conftest import PROJECT
from tests.encoders import make_encoder
from tests.integration.jobs import run_job

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]


BENCHMARKS = Path(__file__).parent / "benchmarks"
"""Benchmark files of the shared media, as a user writes them for data of his own."""


@dataclass(frozen=True)
class RealData:
    """A folder of shared media and how it is trained on."""

    folder: str
    modality: str
    preset: str
    template: str
    label_set: str = "label"
    training: tuple[str, ...] = ()
    benchmark: str | None = None


DATA = (
    RealData(
        "esc10",
        "audio",
        "audio_tiny",
        "the sound of a {}",
        training=("data.preprocess.audio.target_length=504",),
        benchmark="esc10",
    ),
    RealData(
        "hituav",
        "infrared",
        "infrared_tiny",
        "A thermal drone view at {}.",
        label_set="label_time",
        benchmark="hituav",
    ),
    RealData("nyuv2_train", "depth", "depth_tiny", "A {}.", benchmark="nyu_rooms"),
    RealData("intel_videos", "video", "video_tiny", "{}", training=("training.global_batch_size=16",)),
    RealData("tuxpaint_stamps", "image", "depth_tiny", "{}"),
)
STAMPS = DATA[-1]
SPOKEN_STAMPS = RealData(
    "tuxpaint_stamps", "audio", "audio_tiny", "{}", training=("data.preprocess.audio.target_length=504",)
)


@pytest.mark.parametrize("data", DATA, ids=lambda data: f"{data.modality}-{data.folder}")
def test_packs_trains_and_scores(data: RealData, shared_data: Path, tmp_path: Path) -> None:
    run = pack_and_train(data, shared_data, tmp_path)
    loss = [line["train/loss"] for line in logged(tmp_path) if "train/loss" in line]
    scored = ["split=val", f"label_set={data.label_set}", f"templates=['{data.template}']"]
    print(run_job(PROJECT, "jobs/evaluate.py", f"checkpoint={run}", *scored, f"output={tmp_path}/report"))
    print(f"{data.folder} ({data.modality}): loss {loss[0]:.3f} -> {loss[-1]:.3f} in {len(loss)} log lines")
    scores = json.loads((tmp_path / "report/result.json").read_text())["scores"]
    assert loss[-1] < 0.8 * loss[0]
    assert scores["zero_shot/top1"]["low"] < scores["zero_shot/top1"]["high"]
    if data.benchmark is not None:
        (found,) = benchmark_results(data.benchmark, shared_data / data.folder, tmp_path, run)
        check_both_have_intervals(found)


def test_pictures_find_sounds_and_sounds_pictures(shared_data: Path, tmp_path: Path) -> None:
    runs = [pack_and_train(data, shared_data, tmp_path / data.modality) for data in (STAMPS, SPOKEN_STAMPS)]
    (found,) = benchmark_results("tux_paint", shared_data / STAMPS.folder, tmp_path, *runs)
    check_both_have_intervals(found)
    scores = found["tasks"]["image_to_audio"]["scores"]
    assert {"recall_at_1", "reverse/recall_at_1"} < set(scores)
    assert found["tasks"]["image_to_audio"]["items"] == 22


def test_numbers_do_not_depend_on_workers_batches_or_order(
    shared_data: Path, base_weights: Path, tmp_path: Path
) -> None:
    """Exactly the same scores; embeddings that differ by the rounding of float32 alone."""
    original, shuffled = shared_data / "nyuv2_train", tmp_path / "shuffled"
    shuffled.mkdir()
    for folder in ("depth", "image"):
        (shuffled / folder).symlink_to(original / folder)
    lines = (original / "annotations.jsonl").read_text().splitlines()
    random.Random(0).shuffle(lines)
    (shuffled / "annotations.jsonl").write_text("\n".join(lines))
    for modality in ("depth", "image"):
        write_encoder(make_encoder(base_weights, modality), "raybind", tmp_path / modality)
    settings = {"one": (original, 1, 64), "two": (original, 2, 1), "shuffled": (shuffled, 2, 7)}
    scores, embedded = [], []
    for name, (location, number, batch_size) in settings.items():
        kept = tmp_path / name / "embeddings"
        workers = [f"workers.number={number}", f"workers.batch_size={batch_size}", f"embeddings={kept}"]
        encoders = (tmp_path / "depth", tmp_path / "image")
        (found,) = benchmark_results("nyu_rooms", location, tmp_path / name, *encoders, settings=workers)
        scores.append(found["tasks"])
        embedded.append([table_items(pq.read_table(file)) for file in kept.glob("items-*.parquet")])
    first, *others = embedded
    for modality in first:
        for other in others:
            same = [one.embeddings for one in other if ids_of(one) == ids_of(modality)]
            difference = min((modality.embeddings - one).abs().max().item() for one in same)
            print(f"largest difference of an embedding's component: {difference:.1e}")
            assert difference < 1e-6
    assert scores[0] == scores[1] == scores[2]


def ids_of(embedded: EmbeddedItems) -> list[str]:
    """In their order."""
    return [item.id for item in embedded.items]


def pack_and_train(data: RealData, shared_data: Path, folder: Path) -> Path:
    """Returns: the folder of the run."""
    source = ["source.kind=jsonl", f"source.location={shared_data / data.folder}", f"modalities=[{data.modality}]"]
    run_job(PROJECT, "jobs/pack.py", *source, f"output={folder}/data")
    settings = [
        f"data.root={folder}/data",
        f"data.modality={data.modality}",
        "data.text_source=caption",
        "run.name=run",
        f"run.output={folder}",
        "schedule.epochs=20",
        "training.global_batch_size=32",
        "training.log_every_steps=5",
        f"validation.label_set={data.label_set}",
        f"validation.templates=['{data.template}']",
        *data.training,
    ]
    run_job(PROJECT, "jobs/train.py", "--config", f"jobs/presets/{data.preset}.yaml", *settings)
    return folder / "run"


def benchmark_results(name: str, location: Path, folder: Path, *runs: Path, settings: Sequence[str] = ()) -> list[dict]:
    """Prepare a benchmark, evaluate runs on it and read what was written."""
    prepared, report = f"{folder}/benchmarks", folder / "suite"
    file = BENCHMARKS / f"{name}.yaml"
    run_job(PROJECT, "jobs/prepare_benchmark.py", f"benchmark={file}", f"location={location}", f"output={prepared}")
    checkpoints = [f"checkpoint={runs[0]}", f"also=[{','.join(map(str, runs[1:]))}]"]
    asked = [f"suite=[{name}]", f"benchmarks={prepared}", f"output={report}"]
    print(run_job(PROJECT, "jobs/evaluate.py", *checkpoints, *asked, *settings))
    return json.loads((report / "suite.json").read_text())


def check_both_have_intervals(found: dict) -> None:
    """The trained and the untrained encoder were scored on the same items, with intervals, and nothing is missing."""
    assert not found["missing"]
    for task, trained in found["tasks"].items():
        untrained = found["untrained"][task]
        assert trained["complete"]
        assert trained["items"] == untrained["items"]
        for scores in (trained["scores"], untrained["scores"]):
            assert all(score["low"] <= score["value"] <= score["high"] for score in scores.values())


def logged(folder: Path) -> list[dict]:
    """The lines of the one metrics.jsonl below a folder."""
    (file,) = folder.rglob("metrics.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]
