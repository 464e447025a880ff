"""Running an evaluation on benchmarks: the paper's tables with our column beside theirs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybind.app.console import console, show_sheet
from raybind.app.encoders import Embeddings, Encoder, Split, open_encoder
from raybind.app.evaluate import prepared
from raybind.app.gallery import Gallery, reader_of
from raybind.app.suite_pictures import suite_pictures
from raybind.app.tracked_run import run_of
from raybind.config.benchmark import Benchmark, Views
from raybind.config.data import DataConfig
from raybind.config.evaluate import EvaluateConfig
from raybind.construction.pack_report import read_report
from raybind.data.manifest import MANIFEST_NAME, SplitIndex, read_split
from raybind.data.storage import Storage
from raybind.errors import ConfigError
from raybind.evaluation.benchmark import TaskResult, run_task
from raybind.evaluation.items import EmbeddedItems, EncodeTexts
from raybind.evaluation.paper_tables import (
    BenchmarkResult,
    Missing,
    benchmark_sheets,
    paper_sheets,
    suite_csv,
    suite_json,
    suite_metrics,
    task_name,
)
from raybind.evaluation.sheet import sheets_markdown


def run(config: EvaluateConfig) -> None:
    """Evaluate encoders on benchmarks and show what was found. Raises: RayBindError."""
    opened = [open_encoder(location) for location in (config.checkpoint, *config.also)]
    encoders = {encoder.trained.modality: encoder for encoder in opened}
    if "image" not in encoders and (images := opened[0].of_images()) is not None:
        encoders["image"] = images
    _check_one_space(encoders)
    wanted = [one for found in prepared(config) if (one := _runnable(*found, set(encoders))) is not None]
    if not wanted:
        raise ConfigError(f"no encoder here is of a modality that the benchmarks of {config.benchmarks} need")
    embeddings = Embeddings(config)
    embedded = _embed(wanted, encoders, embeddings)
    trained = _results(wanted, embedded, embeddings.texts(opened[0]))
    untrained = _untrained(wanted, encoders, embeddings) if config.untrained else {}
    results, pictures = [], {}
    for one in wanted:
        result = BenchmarkResult(one.benchmark, trained[one.name], untrained.get(one.name, ()), _missing(one))
        readers = {name: reader_of(encoders[name], *_split(one, name)) for name in one.benchmark.config.modalities}
        results.append(result)
        pictures |= suite_pictures(result, embedded[one.name], Gallery(readers))
    _show(results, pictures, config, opened[0])


@dataclass(frozen=True)
class _Prepared:
    """A benchmark with the tasks for which there are encoders, and where it lies."""

    benchmark: Benchmark
    storage: Storage

    @property
    def name(self) -> str:
        return self.benchmark.config.name


def _runnable(benchmark: Benchmark, storage: Storage, encoders: set[str]) -> _Prepared | None:
    """None: there is no encoder for any of its tasks. What is left out is said."""
    there = {name for name in benchmark.config.modalities if storage.exists(f"{name}/{MANIFEST_NAME}")}
    tasks = []
    for task in benchmark.config.tasks:
        if lost := set(task.modalities) - (there & encoders):
            what = f"{benchmark.config.title}, {task_name(task)}"
            console.print(f"{what} left out: no encoder or no shards of {' and '.join(sorted(lost))}", markup=False)
        else:
            tasks.append(task)
    if not tasks:
        return None
    config = benchmark.config.model_copy(update={"tasks": tuple(tasks)})
    return _Prepared(benchmark.model_copy(update={"config": config}), storage)


def _embed(
    wanted: Sequence[_Prepared], encoders: Mapping[str, Encoder], embeddings: Embeddings
) -> dict[str, dict[str, EmbeddedItems]]:
    """By benchmark and modality; each encoder goes through all benchmarks at once."""
    found: dict[str, dict[str, EmbeddedItems]] = {one.name: {} for one in wanted}
    for modality, encoder in encoders.items():
        asking = [one for one in wanted if modality in one.benchmark.config.modalities]
        splits = []
        for one in asking:
            data, index = _split(one, modality)
            splits.append(Split(index, data, one.benchmark.config.views if modality == "video" else Views()))
        for one, items in zip(asking, embeddings.items(encoder, splits), strict=True):
            found[one.name][modality] = items
    return found


def _untrained(
    wanted: Sequence[_Prepared], encoders: Mapping[str, Encoder], embeddings: Embeddings
) -> dict[str, tuple[TaskResult, ...]]:
    """Of the benchmarks whose encoders are all known as they were before training."""
    before = {name: earlier for name, encoder in encoders.items() if (earlier := encoder.untrained())}
    known = [one for one in wanted if set(one.benchmark.config.modalities) <= set(before)]
    if not known:
        return {}
    return _results(known, _embed(known, before, embeddings), embeddings.texts(next(iter(before.values()))))


def _results(
    wanted: Sequence[_Prepared], embedded: Mapping[str, Mapping[str, EmbeddedItems]], encode_texts: EncodeTexts
) -> dict[str, tuple[TaskResult, ...]]:
    return {
        one.name: tuple(
            run_task(task, one.benchmark, embedded[one.name], encode_texts) for task in one.benchmark.config.tasks
        )
        for one in wanted
    }


def _missing(one: _Prepared) -> tuple[Missing, ...]:
    report = read_report(one.storage)
    return tuple(
        Missing(failed.id, failed.modality, failed.cause)
        for name in one.benchmark.config.modalities
        for failed in report.modalities[name].failed
    )


def _split(one: _Prepared, modality: str) -> tuple[DataConfig, SplitIndex]:
    data = DataConfig(root=one.storage.root, modality=modality, text_source="caption")
    return data, read_split(one.storage, modality, one.benchmark.config.split)


def _check_one_space(encoders: Mapping[str, Encoder]) -> None:
    (first, *others) = encoders.values()
    for other in others:
        if other.language_fingerprint != first.language_fingerprint:
            raise ConfigError(
                f"{first.location} and {other.location} are bound to different language encoders, so their embeddings "
                "cannot be compared; evaluate them one by one"
            )


def _show(
    results: Sequence[BenchmarkResult], pictures: Mapping[str, bytes], config: EvaluateConfig, encoder: Encoder
) -> None:
    sheets = [*benchmark_sheets(results), *paper_sheets(results)]
    for sheet in sheets:
        show_sheet(sheet)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(suite_csv(results))
    files = {"suite.md": sheets_markdown(sheets), "suite.json": suite_json(results), "suite.csv": table.getvalue()}
    if config.output is not None:
        folder = Path(config.output)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        for name, png in pictures.items():
            (folder / name).write_bytes(png)
        console.print(f"written to {folder}: {', '.join(files)} and {len(pictures)} pictures")
    tracked = run_of(encoder, config)
    if tracked is not None:
        tracked.log_metrics({f"benchmark/{name}": value for name, value in suite_metrics(results).items()})
        for name, text in files.items():
            tracked.log_text(text, f"benchmarks/{name}")
        for name, png in pictures.items():
            tracked.log_bytes(png, f"benchmarks/{name}")
        console.print(f"recorded in MLflow run {tracked.run_id} at {tracked.uri}")
