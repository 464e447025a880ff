"""What a person sees of a run: its start, its progress, its end."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from raybind.evaluation.sheet import Sheet, sheet_table

console = Console(highlight=False, soft_wrap=True)

_ANY_WIDTH = 10_000
"""Columns, where a log has no edge."""


def show_sheet(sheet: Sheet) -> None:
    """Print a table: folded to the width of a terminal; in a log as wide as it is."""
    table = sheet_table(sheet)
    if console.is_terminal:
        console.print(table)
        return
    width = Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum
    Console(highlight=False, width=max(console.width, width)).print(table)


def show_parameters(table: list[tuple[str, int]]) -> None:
    """Print the trainable parameters per part and their sum."""
    out = Table(title="trainable parameters", title_justify="left")
    out.add_column("part")
    out.add_column("parameters", justify="right")
    for part, count in table:
        out.add_row(part, f"{count:,}")
    out.add_section()
    out.add_row("together", f"{sum(count for _, count in table):,}")
    console.print(out)


VALIDATION_METRICS = {
    "zero_shot/top1": "zero-shot top-1",
    "retrieval/text_to_item/recall_at_1": "text->item R@1",
    "retrieval/text_to_item/recall_at_10": "R@10",
}


def _validation(metrics: Mapping[str, float]) -> str:
    shown = [
        f"{label} {value:.1%}"
        for name, label in VALIDATION_METRICS.items()
        for key, value in metrics.items()
        if key.partition("/")[2] == name
    ]
    return f"[bold]{next(iter(metrics)).partition('/')[0]}[/]  " + "  ".join(shown)


class Progress:
    """One line per record: step, loss, samples/s, temperature, time left."""

    def __init__(self, total_steps: int) -> None:
        self._total_steps = total_steps
        self._first: tuple[int, float] | None = None

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Print the record of a step, of training or of a validation."""
        if "train/loss" not in metrics:
            console.print(f"step {step:>{len(str(self._total_steps))}}/{self._total_steps}  {_validation(metrics)}")
            return
        bad = metrics["data/bad_samples"]
        console.print(
            f"step {step:>{len(str(self._total_steps))}}/{self._total_steps}"
            f"  loss {metrics['train/loss']:.4f}"
            f"  lr {metrics['train/lr']:.2e}"
            f"  tau {metrics['train/temperature']:.4f}"
            f"  {metrics['time/samples_per_second']:.0f} samples/s"
            f"  data wait {metrics['time/data_wait_fraction']:.0%}"
            f"  {self._left(step)} left" + (f"  [yellow]{bad:.0f} bad samples[/]" if bad else "")
        )

    def notice(self, text: str) -> None:
        """Print what happened to the run."""
        console.print(text, style="yellow", markup=False)

    def _left(self, step: int) -> str:
        now = time.monotonic()
        if self._first is None or step <= self._first[0]:
            self._first = (step, now)
            return "--:--"
        first_step, began = self._first
        seconds = int((now - began) / (step - first_step) * (self._total_steps - step))
        return (
            f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            if seconds >= 3600
            else (f"{seconds // 60:02}:{seconds % 60:02}")
        )
