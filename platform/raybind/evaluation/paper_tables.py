"""Benchmark results as the tables of the paper: our column beside the published ones, with the difference.

A row is a benchmark, a task and a metric; columns are methods. Scores of a benchmark that lacks some of its items stand
in brackets: they are of other items than the published ones.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from raybind.config.benchmark import Benchmark, Reported, Task
from raybind.evaluation.benchmark import REVERSE, TaskResult
from raybind.evaluation.metrics import Score
from raybind.evaluation.report import metric_label, score_cell, score_number
from raybind.evaluation.sheet import Sheet
from raybind.modalities.media.sound import NO_SOUND

PAPER = "LanguageBind"
"""Whose figures ours are compared with."""

_TITLES = {
    2: "Table 2. Zero-shot text-to-video retrieval",
    3: "Table 3. Text-to-video retrieval, CLIP4Clip trained on VIDAL",
    4: "Table 4. Zero-shot classification",
    5: "Table 5. Zero-shot text-to-audio retrieval",
    6: "Table 6. Joint retrieval of several modalities",
    7: "Table 7. Emergent retrieval between modalities",
    11: "Table 11. Video-text retrieval in both directions",
}


@dataclass(frozen=True)
class Missing:
    """One modality of one item that could not be prepared."""

    id: str
    modality: str
    cause: str


@dataclass(frozen=True)
class BenchmarkResult:
    """What an encoder reached on a benchmark."""

    benchmark: Benchmark
    tasks: tuple[TaskResult, ...]
    untrained: tuple[TaskResult, ...] = ()
    """The same tasks before training."""
    missing: tuple[Missing, ...] = ()

    def missing_in(self, task: Task) -> tuple[Missing, ...]:
        """What a task should have had; not what by its nature has no sound."""
        return tuple(one for one in self.missing if one.modality in task.modalities and not _is_silent(one, task))

    def complete(self, found: TaskResult) -> bool:
        """Whether every published item took part."""
        published = self.benchmark.config.num_items or 0
        silent = {one.id for one in self.missing if _is_silent(one, found.task)}
        return not self.missing_in(found.task) and found.num_there >= published - len(silent)


def _is_silent(one: Missing, task: Task) -> bool:
    return one.cause == NO_SOUND and one.modality in task.requires


def paper_sheets(results: Sequence[BenchmarkResult]) -> list[Sheet]:
    """One sheet for every table of the paper that the results have a row of."""
    rows = [row for result in results for row in _rows(result)]
    return [
        _sheet(table, [row for row in rows if row.reported.table == table])
        for table in sorted({r.reported.table for r in rows})
    ]


def benchmark_sheets(results: Sequence[BenchmarkResult]) -> list[Sheet]:
    """One sheet for every task of every benchmark, with all its metrics."""
    return [_all_metrics(result, number) for result in results for number in range(len(result.tasks))]


def suite_json(results: Sequence[BenchmarkResult]) -> str:
    """Everything but the single answers."""
    return json.dumps([_values(result) for result in results], indent=2)


def suite_metrics(results: Sequence[BenchmarkResult]) -> dict[str, float]:
    """`<benchmark>/<task>/<metric>` for a metric store, with `_low`, `_high` and `_chance`."""
    metrics = {}
    for result in results:
        for task in result.tasks:
            for name, score in task.scores().items():
                stem = f"{result.benchmark.config.name}/{task_name(task.task)}/{name}"
                metrics |= {stem: score.value, f"{stem}_low": score.low, f"{stem}_high": score.high}
                metrics[f"{stem}_chance"] = score.chance
    return metrics


def suite_csv(results: Sequence[BenchmarkResult]) -> Iterator[tuple[str, ...]]:
    """Rows of a csv file, the header first; proportions in [0, 1]."""
    yield ("benchmark", "task", "metric", "value", "low", "high", "chance", "untrained", "items", "complete")
    for result in results:
        for number, task in enumerate(result.tasks):
            before = result.untrained[number].scores() if result.untrained else {}
            for name, score in task.scores().items():
                values = (score.value, score.low, score.high, score.chance)
                earlier = f"{before[name].value:.6f}" if name in before else ""
                where = (result.benchmark.config.name, task_name(task.task), name)
                yield (
                    *where,
                    *(f"{value:.6f}" for value in values),
                    earlier,
                    str(len(task.ids)),
                    str(result.complete(task)),
                )


def task_name(task: Task) -> str:
    """`zero_shot_depth`, `text_to_video`, `image_and_text_to_depth`, `text_to_video_having_audio`."""
    items, queries, having = ("_and_".join(names) for names in (task.items, task.queries, _also_required(task)))
    name = f"{queries}_to_{items}" if task.kind == "retrieval" else f"{task.kind}_{items}"
    return f"{name}_having_{having}" if having else name


def _also_required(task: Task) -> tuple[str, ...]:
    """Modalities that an item must have though the task does not look at them."""
    seen = (*task.items, *(task.queries if task.kind == "retrieval" else ()))
    return tuple(name for name in task.requires if name not in seen)


@dataclass(frozen=True)
class _Row:
    result: BenchmarkResult
    task: TaskResult
    reported: Reported
    score: Score

    @property
    def name(self) -> str:
        """`NYU-D, image + text -> depth`."""
        task = self.task.task
        what = _arrow(task, self.reported.metric) if task.kind == "retrieval" else _items(self.task)
        return f"{self.result.benchmark.config.title}, {what}{_having(task)}"


def _rows(result: BenchmarkResult) -> Iterator[_Row]:
    for task in result.tasks:
        scores = task.scores()
        for reported in task.task.reported:
            # R@10 of fewer than eleven candidates is not a score.
            if reported.metric in scores:
                yield _Row(result, task, reported, scores[reported.metric])


def _sheet(table: int, rows: Sequence[_Row]) -> Sheet:
    methods = list(dict.fromkeys(name for row in rows for name in row.reported.figures))
    others = [name for name in methods if name != PAPER]
    columns = ("benchmark", "metric", "ours", PAPER, "difference", *others, "chance", "items")
    cells = [
        (
            row.name,
            metric_label(row.reported.metric.removeprefix(REVERSE)),
            _bracketed(score_cell(row.reported.metric, row.score), row.result.complete(row.task)),
            _figure(row, PAPER),
            _difference(row),
            *(_figure(row, name) for name in others),
            score_number(row.reported.metric, row.score.chance),
            f"{len(row.task.ids):,}",
        )
        for row in rows
    ]
    notes = ["[95 % interval]; difference: ours less the paper's"]
    if not all(row.result.complete(row.task) for row in rows):
        notes.append("(in brackets): not all of the published items")
    remarks: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.reported.note:
            remarks.setdefault(row.reported.note, {})[row.result.benchmark.config.title] = None
    notes += [f"{', '.join(titles)}: {remark}" for remark, titles in remarks.items()]
    return Sheet(_TITLES.get(table, f"Table {table}"), "\n".join(f"- {note}" for note in notes), columns, cells)


def _all_metrics(result: BenchmarkResult, number: int) -> Sheet:
    config, found = result.benchmark.config, result.tasks[number]
    before = result.untrained[number].scores() if result.untrained else {}
    complete, is_retrieval = result.complete(found), found.task.kind == "retrieval"
    rows = [
        (
            (_arrow(found.task, name) + ", " if is_retrieval else "") + metric_label(name.removeprefix(REVERSE)),
            _bracketed(score_cell(name, score), complete),
            score_cell(name, before.get(name)),
            score_number(name, score.chance),
        )
        for name, score in found.scores().items()
    ]
    published = "" if config.num_items is None else f"; {config.num_items:,} published"
    share = "" if found.task.sample == 1 else f" ({found.task.sample:.0%} of {found.num_there:,})"
    note = f"{len(found.ids):,} items{share}, split {config.split}{published}; [95 % interval]"
    if missing := sorted(result.missing_in(found.task), key=lambda one: one.id):
        first = missing[0]
        note += f"; (in brackets): {len(missing)} are missing, the first {first.id}: {first.modality}, {first.cause}"
    elif not complete:
        note += "; (in brackets): fewer than published"
    what = (
        f"retrieval, {_arrow(found.task, '')}"
        if is_retrieval
        else f"{found.task.kind.replace('_', '-')}, {_items(found)}"
    )
    title = f"{config.title}: {what}{_having(found.task)}"
    return Sheet(title, note, ("metric", "encoder", "untrained encoder", "chance"), rows)


def _having(task: Task) -> str:
    names = _also_required(task)
    return f" (items with {' and '.join(names)})" if names else ""


def _items(found: TaskResult) -> str:
    return " + ".join(found.task.items)


def _arrow(task: Task, metric: str) -> str:
    """`text -> video`, or the other way round for the reverse of a metric."""
    items, queries = " + ".join(task.items), " + ".join(task.queries)
    return f"{items} -> {queries}" if metric.startswith(REVERSE) else f"{queries} -> {items}"


def _bracketed(cell: str, complete: bool) -> str:
    return cell if complete else f"({cell})"


def _figure(row: _Row, method: str) -> str:
    value = row.reported.figures.get(method)
    return "-" if value is None else f"{value:.1f}"


def _difference(row: _Row) -> str:
    published = row.reported.figures.get(PAPER)
    if published is None:
        return "-"
    ours = row.score.value if row.reported.metric.endswith("_rank") else 100 * row.score.value
    return f"{ours - published:+.1f}"


def _values(result: BenchmarkResult) -> dict[str, object]:
    def scored(tasks: Sequence[TaskResult]) -> dict[str, object]:
        return {
            task_name(task.task): {
                "items": len(task.ids),
                "complete": result.complete(task),
                "scores": {name: asdict(score) for name, score in task.scores().items()},
            }
            for task in tasks
        }

    return {
        "benchmark": result.benchmark.config.name,
        "missing": [asdict(one) for one in result.missing],
        "tasks": scored(result.tasks),
        "untrained": scored(result.untrained) or None,
    }
