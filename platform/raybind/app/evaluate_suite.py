"""Running an evaluation on benchmarks: the paper's tables with our column beside theirs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from raybind.app.console import console, show_sheet
from raybind.app.encoders import Embeddings, Encoder, open_encoder
from raybind.app.gallery import Gallery, reader_of
from raybind.app.suite_pictures import suite_pictures
from raybind.app.tracked_run import run_of
from raybind.config.benchmark import BENCHMARK_FILE, Benchmark
from raybind.config.data import DataConfig
from raybind.config.evaluate import EvaluateConfig
from raybind.construction.pack_report import read_report
from raybind.data.manifest import MANIFEST_NAME, SplitIndex, read_split
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from raybind.evaluation.benchmark import TaskResult, run_task
from raybind.evaluation.items import EmbeddedItems
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
    before = {name: earlier for name, encoder in encoders.items() if (earlier := encoder.untrained())}
    embeddings, results, pictures = Embeddings(config), [], {}
    for benchmark, storage in prepared(config):
        found = _evaluate(benchmark, storage, encoders, before if config.untrained else {}, embeddings)
        if found is not None:
            results.append(found[0])
            pictures |= found[1]
    if not results:
        raise ConfigError(f"no encoder here is of a modality that the benchmarks of {config.benchmarks} need")
    _show(results, pictures, config, opened[0])


def prepared(config: EvaluateConfig) -> list[tuple[Benchmark, Storage]]:
    """The benchmarks asked for, and where each lies. Raises: ConfigError: one is not prepared."""
    root = open_storage(str(config.benchmarks))
    there = [name for name in root.children() if root.exists(f"{name}/{BENCHMARK_FILE}")]
    if not there:
        raise ConfigError(f"benchmarks={config.benchmarks!r} holds none; prepare some with jobs/prepare_benchmark.py")
    wanted = there if config.suite == "paper" or config.suite is None else config.suite
    lost = [name for name in wanted if name not in there]
    if lost:
        raise ConfigError(f"{', '.join(lost)} not in {config.benchmarks}; prepared are {', '.join(there)}")
    found = [(root.below(name), root.read(f"{name}/{BENCHMARK_FILE}")) for name in wanted]
    return [(Benchmark.model_validate_json(raw), storage) for storage, raw in found]


def _evaluate(
    benchmark: Benchmark,
    storage: Storage,
    encoders: Mapping[str, Encoder],
    before: Mapping[str, Encoder],
    embeddings: Embeddings,
) -> tuple[BenchmarkResult, dict[str, bytes]] | None:
    """With its pictures; None: there is no encoder for any of its tasks."""
    there = {name for name in benchmark.config.modalities if storage.exists(f"{name}/{MANIFEST_NAME}")}
    tasks = [task for task in benchmark.config.tasks if set(task.modalities) <= there & set(encoders)]
    console.print(f"[bold]{benchmark.config.title}[/]")
    for task in benchmark.config.tasks:
        if lost := set(task.modalities) - (there & set(encoders)):
            console.print(f"{task_name(task)} left out: no encoder or no shards of {' and '.join(sorted(lost))}")
    if not tasks:
        return None
    benchmark = benchmark.model_copy(update={"config": benchmark.config.model_copy(update={"tasks": tuple(tasks)})})
    embedded, trained = _results(benchmark, storage, encoders, embeddings)
    untrained = ()
    if all(set(task.modalities) <= set(before) for task in tasks):
        _, untrained = _results(benchmark, storage, before, embeddings)
    report = read_report(storage)
    missing = tuple(
        Missing(failed.id, failed.modality, failed.cause)
        for name in benchmark.config.modalities
        if name in report.modalities
        for failed in report.modalities[name].failed
    )
    result = BenchmarkResult(benchmark, trained, untrained, missing)
    readers = {
        name: reader_of(encoders[name], *_split(benchmark, storage, name)) for name in benchmark.config.modalities
    }
    return result, suite_pictures(result, embedded, Gallery(readers))


def _results(
    benchmark: Benchmark, storage: Storage, encoders: Mapping[str, Encoder], embeddings: Embeddings
) -> tuple[dict[str, EmbeddedItems], tuple[TaskResult, ...]]:
    embedded: dict[str, EmbeddedItems] = {}
    for name in benchmark.config.modalities:
        data, index = _split(benchmark, storage, name)
        views = benchmark.config.views if name == "video" else None
        embedded[name] = embeddings.items(encoders[name], index, data, views)
    encode_texts = embeddings.texts(encoders[benchmark.config.modalities[0]])
    return embedded, tuple(run_task(task, benchmark, embedded, encode_texts) for task in benchmark.config.tasks)


def _split(benchmark: Benchmark, storage: Storage, modality: str) -> tuple[DataConfig, SplitIndex]:
    data = DataConfig(root=storage.root, modality=modality, text_source="caption")
    return data, read_split(storage, modality, benchmark.config.split)


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
