"""Every benchmark that RayBind knows, from annotations as published to the tables of the paper."""

import csv
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from raybind.app import evaluate, prepare_benchmark
from raybind.config.benchmark import BENCHMARK_FILE, Benchmark
from raybind.construction.benchmarks.source import sample_id
from raybind.data.manifest import MANIFEST_NAME, read_split
from raybind.data.shard_reader import read_sample
from raybind.data.storage import open_storage
from raybind.evaluation.benchmark_files import benchmark_names
from raybind.evaluation.paper_tables import task_name
from raybind.model.layouts import write_encoder
from tests.encoders import SHAPES, make_encoder
from tests.miniatures.base import Expected

pytestmark = pytest.mark.ray

MINIATURES = Path(__file__).parents[1] / "miniatures"


def miniature(name: str) -> Callable[[Path], Expected]:
    """What makes the miniature of a benchmark."""
    modules = [importlib.import_module(f"tests.miniatures.{file.stem}") for file in MINIATURES.glob("*.py")]
    (found,) = {getattr(module, name) for module in modules if hasattr(module, name)}
    return found


@pytest.fixture(scope="module")
def prepared(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Expected]]:
    """All benchmarks, prepared from their miniatures, and what they must hold."""
    root = tmp_path_factory.mktemp("benchmarks")
    expected = {}
    for name in benchmark_names():
        folder = tmp_path_factory.mktemp(name)
        expected[name] = miniature(name)(folder)
        assert prepare_benchmark.main([f"benchmark={name}", f"location={folder}", f"output={root}"]) == 0
    return root, expected


@pytest.mark.parametrize("name", benchmark_names())
def test_native_annotations_become_the_items_they_describe(
    prepared: tuple[Path, dict[str, Expected]], name: str
) -> None:
    root, expected = prepared
    storage = open_storage(str(root / name))
    benchmark = Benchmark.model_validate_json(storage.read(BENCHMARK_FILE))
    found: dict[str, dict] = {}
    for modality in benchmark.config.modalities:
        index = read_split(storage, modality, benchmark.config.split)
        for number in range(len(index)):
            metadata, _ = read_sample(index, number)
            item = found.setdefault(metadata.id, {"captions": metadata.texts.captions, "classes": metadata.classes})
            item.setdefault("modalities", set()).add(modality)
    assert found == {
        sample_id(key): {"captions": item.captions, "classes": item.classes, "modalities": set(item.modalities)}
        for key, item in expected[name].items()
    }
    assert {one for item in found.values() for one in item["classes"]} <= set(benchmark.class_names)


@pytest.fixture(scope="module")
def encoders(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One directory for each modality, all bound to one language encoder."""
    root = tmp_path_factory.mktemp("encoders")
    for modality in SHAPES:
        write_encoder(make_encoder(base_weights, modality), "raybind", root / modality)
    return [str(root / modality) for modality in SHAPES]


def test_suite_makes_the_tables_of_the_paper(
    prepared: tuple[Path, dict[str, Expected]], encoders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = prepared
    first, *others = encoders
    arguments = [f"checkpoint={first}", f"also=[{','.join(others)}]", "suite=paper", f"benchmarks={root}"]
    assert evaluate.main([*arguments, f"output={tmp_path}", f"embeddings={tmp_path}/embeddings"]) == 0
    printed = capsys.readouterr().out
    results = {result["benchmark"]: result for result in json.loads((tmp_path / "suite.json").read_text())}
    assert set(results) == set(benchmark_names())
    for name, result in results.items():
        config = Benchmark.model_validate_json((root / name / BENCHMARK_FILE).read_bytes()).config
        assert set(result["tasks"]) == {task_name(task) for task in config.tasks}
    markdown = (tmp_path / "suite.md").read_text()
    for table in (2, 4, 5, 6, 7, 11):
        assert f"Table {table}." in printed
        assert f"### Table {table}." in markdown
    with (tmp_path / "suite.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(task["scores"]) for result in results.values() for task in result["tasks"].values())
    assert all(row["complete"] == "False" for row in rows if row["benchmark"] == "esc50"), "2,000 clips are published"

    # What was embedded is kept: another look at two of them embeds nothing, and finds the same.
    again = tmp_path / "again"
    some = [one if one != "suite=paper" else "suite=[nyu_d,msvd]" for one in arguments]
    assert evaluate.main([*some, f"output={again}", f"embeddings={tmp_path}/embeddings"]) == 0
    assert "embedded" not in capsys.readouterr().out
    assert json.loads((again / "suite.json").read_text()) == [results["nyu_d"], results["msvd"]]


@pytest.mark.s3
def test_data_set_and_shards_in_a_bucket(
    ray_local: None, encoders: list[str], s3_root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = miniature("nyu_d")(tmp_path)
    bucket = open_storage(s3_root)
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        bucket.write(f"nyu/{file.relative_to(tmp_path)}", file.read_bytes())
    prepare = ["benchmark=nyu_d", f"location={s3_root}/nyu", f"output={s3_root}/benchmarks"]
    assert prepare_benchmark.main(prepare) == 0
    depth = next(path for path in encoders if path.endswith("depth"))
    asked = ["suite=[nyu_d]", f"benchmarks={s3_root}/benchmarks", f"embeddings={s3_root}/kept"]
    assert evaluate.main([f"checkpoint={depth}", *asked]) == 0
    printed = capsys.readouterr().out
    assert f"{len(expected)} items, split" in printed
    assert "no encoder or no shards of image" in printed


def test_item_that_is_missing_brackets_the_scores_and_is_named(
    ray_local: None, encoders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    miniature("esc50")(tmp_path / "esc50")
    lost = sorted((tmp_path / "esc50" / "audio").glob("*.wav"))[0]
    lost.unlink()
    prepare = ["benchmark=esc50", f"location={tmp_path}/esc50", f"output={tmp_path}/benchmarks"]
    assert prepare_benchmark.main(prepare) == 0
    audio = next(path for path in encoders if path.endswith("audio"))
    asked = [f"checkpoint={audio}", "suite=[esc50]", f"benchmarks={tmp_path}/benchmarks", f"output={tmp_path}/out"]
    assert evaluate.main(asked) == 0
    printed = capsys.readouterr().out
    assert "1 are missing" in printed
    assert sample_id(lost.stem) in printed or lost.stem in printed
    (result,) = json.loads((tmp_path / "out" / "suite.json").read_text())
    assert [one["cause"] for one in result["missing"]] == ["file is missing"]
    assert not any(task["complete"] for task in result["tasks"].values())


def test_suite_asks_for_what_is_prepared(
    encoders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [f"checkpoint={encoders[0]}", "suite=[esc50]", f"benchmarks={tmp_path}"]
    assert evaluate.main(asked) == 2
    assert "prepare some with jobs/prepare_benchmark.py" in capsys.readouterr().err


def test_unknown_benchmark_is_told_those_that_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["benchmark=esc_50", f"location={tmp_path}", f"output={tmp_path}/out"]
    assert prepare_benchmark.main(asked) == 2
    assert "esc50" in capsys.readouterr().err
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()


def test_folder_that_holds_something_else_is_told_what_it_must_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["benchmark=clotho", f"location={tmp_path}", f"output={tmp_path}/out", "--check"]
    assert prepare_benchmark.main(asked) == 2
    message = capsys.readouterr().err
    assert "has no clotho_captions_evaluation.csv" in message
    assert "evaluation/" in message
