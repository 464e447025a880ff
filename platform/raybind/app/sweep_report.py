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
from matplotlib.ticker import PercentFormatter
from rich.table import Table
from rich.text import Text

from raybind.app.sweep_plan import describe_values
from raybind.app.sweep_records import Report, TrialRecord, format_score, is_rank
from raybind.config.sweep import SweepConfig


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
    figure = Figure(figsize=(13 if axis else 9, 5 + 0.2 * len(ranked)), layout="constrained")
    panels = figure.subplots(1, 2 if axis else 1, squeeze=False)[0]
    for number, record in enumerate(ranked):
        _draw_curve(panels[0], config.metric, record, f"C{number % 10}", f"{number + 1}. {_legend(record)}")
    panels[0].set(xlabel="samples trained on", title="each trial over its training")
    if axis:
        along = sorted(ranked, key=_along_axis)
        for place, record in enumerate(along):
            _draw_point(panels[1], config.metric, record, place, f"C{ranked.index(record) % 10}")
        panels[1].set_xticks(range(len(along)), [record.values[axis] for record in along])
        panels[1].set(xlabel=axis, title="last validation with its 95 % interval (x: not to the end)")
    for panel in panels:
        _finish_panel(panel, config.metric, ranked)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize="small")
    figure.suptitle(_title(config))
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()


def _draw_curve(panel: Axes, metric: str, record: TrialRecord, colour: str, label: str) -> None:
    samples = [report.samples for report in record.reports]
    values = [report.metrics[metric] for report in record.reports]
    finished = record.state == "finished"
    panel.plot(samples, values, color=colour, linestyle="-" if finished else "--", marker="o", ms=3, label=label)
    if not finished and record.reports:
        panel.plot(samples[-1], values[-1], "x", color=colour, ms=10)


def _along_axis(record: TrialRecord) -> float:
    """Where a trial stands on the only axis: numbers in their order, all else in the order of the space."""
    values = list(record.settings.values())
    number = len(values) == 1 and isinstance(values[0], int | float)
    return values[0] if number else record.place


def _draw_point(panel: Axes, metric: str, record: TrialRecord, place: int, colour: str) -> None:
    value = record.value(metric)
    if value is None:
        return
    low, high = _interval(record.reports[-1], metric)
    mark = "o" if record.state == "finished" else "x"
    panel.errorbar(place, value, yerr=[[value - low], [high - value]], color=colour, fmt=mark, capsize=4)


def _finish_panel(panel: Axes, metric: str, ranked: Sequence[TrialRecord]) -> None:
    reports = [report.metrics for record in ranked for report in record.reports]
    chances = [metrics[f"{metric}_chance"] for metrics in reports if f"{metric}_chance" in metrics]
    if chances:
        panel.axhline(chances[0], color="grey", linestyle=":", label="chance")
    if not is_rank(metric):
        panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.set_ylabel(metric)
    panel.grid(alpha=0.3)


def _legend(record: TrialRecord) -> str:
    return describe_values(record.values) + ("" if record.state == "finished" else f" ({record.state})")


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
