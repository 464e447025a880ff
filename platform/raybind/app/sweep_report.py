"""What a sweep found: the ranking as a table, as Markdown and as JSON, and one picture.

Trials are ranked by the metric of their last validation. Where the scheduler stopped trials early, those values come
from different numbers of samples; step, samples and status say so.
"""

import dataclasses
import io
import json
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raybind.app.console import console
from raybind.app.sweep_board import Report, TrialRecord, format_score
from raybind.config.sweep import SweepConfig
from raybind.data.storage import Storage
from raybind.integrations.mlflow import TrackedRun

_TABLE_WIDTH = 240
"""Columns; a job's log has no terminal that could be too narrow."""


def publish(config: SweepConfig, records: Sequence[TrialRecord], storage: Storage, parent: TrackedRun) -> None:
    """Show the ranking; store it, with the picture, in the sweep's folder and in its MLflow run."""
    ranked = rank(records, config.metric, config.mode)
    Console(highlight=False, width=_TABLE_WIDTH).print(to_table(config, ranked))
    for record in ranked:
        if record.state == "failed":
            console.print(f"{record.name} failed: {record.cause}", markup=False)
    files = {
        "ranking.md": to_markdown(config, ranked).encode(),
        "ranking.json": to_json(config, ranked).encode(),
        "ranking.png": draw(config, ranked),
    }
    for name, content in files.items():
        storage.write(name, content)
        parent.log_bytes(content, name)
    best = ranked[0].value(config.metric)
    if best is not None:
        parent.log_metrics({f"best/{config.metric}": best})
        console.print(f"best: {ranked[0].name}, checkpoint and record in {storage.root}/{ranked[0].name}")
    console.print(f"written to {storage.root}: {', '.join(files)}; the same in MLflow run {parent.run_id}")


def rank(records: Sequence[TrialRecord], metric: str, mode: str) -> list[TrialRecord]:
    """Best first; trials without a value last, in their order."""
    sign = -1 if mode == "max" else 1
    missing = float("inf")
    return sorted(records, key=lambda r: missing if (value := r.value(metric)) is None else sign * value)


def to_table(config: SweepConfig, ranked: Sequence[TrialRecord]) -> Table:
    """The ranking for a rich console."""
    columns, rows = _sheet(config, ranked)
    # As Text: brackets in a plain str would be taken for markup.
    table = Table(title=Text(_title(config), style="bold"), title_justify="left")
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def to_markdown(config: SweepConfig, ranked: Sequence[TrialRecord]) -> str:
    """The same table, and why trials failed, in Markdown."""
    columns, rows = _sheet(config, ranked)
    lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    causes = [f"- {record.name} failed: {record.cause}" for record in ranked if record.state == "failed"]
    return "\n".join([f"### {_title(config)}", "", *lines, "", *causes, ""])


def to_json(config: SweepConfig, ranked: Sequence[TrialRecord]) -> str:
    """Everything about the trials, best first, with the metrics of all their validations."""
    trials = [{"rank": rank, **dataclasses.asdict(record)} for rank, record in enumerate(ranked, 1)]
    for trial in trials:
        del trial["began"]
    return json.dumps({"sweep": config.name, "metric": config.metric, "mode": config.mode, "trials": trials}, indent=1)


def draw(config: SweepConfig, ranked: Sequence[TrialRecord]) -> bytes:
    """Metric against samples for each trial and, where the space has one axis, against that axis; PNG."""
    axis = next(iter(ranked[0].values)) if len(ranked[0].values) == 1 else None
    figure = Figure(figsize=(13 if axis else 9, 5), layout="constrained")
    panels = figure.subplots(1, 2 if axis else 1, squeeze=False)[0]
    _draw_curves(panels[0], config.metric, ranked)
    if axis:
        _draw_axis(panels[1], config.metric, axis, [record for record in ranked if record.reports])
    figure.suptitle(_title(config))
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()


def _draw_curves(panel: Axes, metric: str, ranked: Sequence[TrialRecord]) -> None:
    for number, record in enumerate(ranked):
        known = [report for report in record.reports if metric in report.metrics]
        stopped = record.state != "finished"
        panel.plot(
            [report.samples for report in known],
            [report.metrics[metric] for report in known],
            color=f"C{number % 10}",
            linestyle="--" if stopped else "-",
            marker="o",
            markersize=3,
            label=f"{number + 1}. {', '.join(f'{k} {v}' for k, v in record.values.items())}"
            + (f" ({record.state})" if stopped else ""),
        )
        if stopped and known:
            panel.plot(known[-1].samples, known[-1].metrics[metric], "x", color=f"C{number % 10}", markersize=9)
    _draw_chance(panel, metric, ranked)
    panel.set(xlabel="samples trained on", ylabel=metric, title="each trial over its training")
    panel.legend(fontsize="small")
    panel.grid(alpha=0.3)


def _draw_axis(panel: Axes, metric: str, axis: str, ranked: Sequence[TrialRecord]) -> None:
    in_order = sorted(ranked, key=lambda record: record.name)
    for place, record in enumerate(in_order):
        value, (low, high) = record.value(metric), _interval(record.reports[-1], metric)
        if value is None:
            continue
        finished = record.state == "finished"
        panel.errorbar(
            place,
            value,
            yerr=[[value - low], [high - value]],
            color=f"C{ranked.index(record) % 10}",
            fmt="o" if finished else "x",
            capsize=4,
        )
    _draw_chance(panel, metric, ranked)
    panel.set_xticks(range(len(in_order)), [record.values[axis] for record in in_order])
    panel.set(xlabel=axis, ylabel=metric, title="last validation, 95 % interval (x: did not finish)")
    panel.grid(alpha=0.3, axis="y")


def _draw_chance(panel: Axes, metric: str, records: Sequence[TrialRecord]) -> None:
    chances = [
        report.metrics[f"{metric}_chance"]
        for r in records
        for report in r.reports
        if f"{metric}_chance" in report.metrics
    ]
    if chances:
        panel.axhline(chances[0], color="grey", linestyle=":", label="chance")


def _sheet(config: SweepConfig, ranked: Sequence[TrialRecord]) -> tuple[list[str], list[list[str]]]:
    metric = config.metric.partition("/")[2]
    columns = ["#", "trial", *ranked[0].values, metric, "step", "samples", "seconds", "status", "MLflow run"]
    rows = []
    for number, record in enumerate(ranked, 1):
        last = record.reports[-1] if record.reports else None
        rows.append(
            [
                str(number),
                record.name,
                *record.values.values(),
                _score(record, config.metric),
                f"{last.step if last else 0}/{record.total_steps}",
                f"{last.samples if last else 0:,}",
                f"{record.seconds:.0f}",
                record.state,
                record.run_id[:8] if record.run_id else "-",
            ]
        )
    return columns, rows


def _score(record: TrialRecord, metric: str) -> str:
    value = record.value(metric)
    if value is None:
        return "-"
    low, high = _interval(record.reports[-1], metric)
    interval = f" [{format_score(metric, low)}, {format_score(metric, high)}]" if low < high else ""
    return format_score(metric, value) + interval


def _interval(report: Report, metric: str) -> tuple[float, float]:
    """The 95 % interval; the value itself where there is none."""
    value = report.metrics[metric]
    return report.metrics.get(f"{metric}_low", value), report.metrics.get(f"{metric}_high", value)


def _title(config: SweepConfig) -> str:
    return f"sweep {config.name}, by {config.metric} ({config.mode})"
