"""What is known of a sweep's trials while they run, on the console and in MLflow; at the end, the ranking there."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from raybind.app.console import console
from raybind.app.sweep_plan import Trial
from raybind.app.sweep_records import Report, State, TrialRecord, format_score
from raybind.app.sweep_report import draw, rank, to_json, to_markdown, to_table
from raybind.config.sweep import SweepConfig
from raybind.data.storage import Storage
from raybind.integrations.mlflow import RunStatus, TrackedRun
from raybind.integrations.ray_tune import SAMPLES

TRIAL_TAG = "raybind.trial"
"""MLflow tag of a trial's run: the trial's name."""

STOPPED_EARLY_TAG = "raybind.stopped_early"
"""MLflow tag "true" of a trial's run that the scheduler ended."""

_TABLE_WIDTH = 240
"""Columns; a job's log has no terminal that could be too narrow."""

RUN_STATUS: dict[State, RunStatus] = {
    "finished": "FINISHED",
    "stopped early": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
"""How the MLflow run of a trial in a final state ends."""


class Board:
    """A `TrialObserver` that keeps the records, prints a line per event and ends MLflow runs that nobody else ends."""

    def __init__(self, trials: list[Trial], metric: str, parent: TrackedRun) -> None:
        self.records = [
            TrialRecord(place, trial.name, trial.values, trial.settings, trial.plan.schedule.total_steps)
            for place, trial in enumerate(trials)
        ]
        self._labels = [trial.label for trial in trials]
        self._metric = metric
        self._parent = parent

    def started(self, number: int) -> None:
        """See `TrialObserver`."""
        record = self.records[number]
        record.state, record.began = "running", time.monotonic()
        console.print(f"{self._labels[number]} starts")

    def reported(self, number: int, metrics: Mapping[str, Any]) -> None:
        """See `TrialObserver`."""
        record = self.records[number]
        scores = {name: float(value) for name, value in metrics.items() if "/" in name}
        record.reports.append(Report(metrics["step"], metrics[SAMPLES], scores))
        value = record.value(self._metric)
        if value is not None:
            width = len(str(record.total_steps))
            console.print(
                f"{record.name}  step {metrics['step']:>{width}}/{record.total_steps}  {self._metric} "
                f"{format_score(self._metric, value)}"
            )

    def failed(self, number: int, cause: str) -> None:
        """See `TrialObserver`."""
        self.records[number].cause = cause

    def ended(self, number: int, succeeded: bool) -> None:
        """See `TrialObserver`."""
        record = self.records[number]
        record.seconds = time.monotonic() - record.began
        if not succeeded:
            record.state = "failed"
            record.cause = record.cause or "its process ended; Ray's logs may say why"
        elif record.reports and record.reports[-1].step == record.total_steps:
            record.state = "finished"
        else:
            record.state = "stopped early"
        console.print(f"{record.name}  {record.status} after {record.seconds:.0f} s", markup=False)
        self.settle()

    def interrupt(self) -> None:
        """The sweep ends now, and with it all trials that run or wait."""
        for record in self.records:
            if record.state == "running":
                record.seconds = time.monotonic() - record.began
            if record.state in ("waiting", "running"):
                record.state = "interrupted"
        self.settle()

    def settle(self) -> None:
        """Find the MLflow runs of the trials, and end those whose trial has ended without doing so itself."""
        records = {record.name: record for record in self.records}
        for child in self._parent.children():
            record = records[child.tags[TRIAL_TAG]]
            record.run_id = child.run.run_id
            status = RUN_STATUS.get(record.state)
            if status is None or child.status == status:
                continue
            if record.state == "stopped early":
                child.run.set_tag(STOPPED_EARLY_TAG, "true")
            child.run.finish(status)


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
    folder = f"{config.output}/{config.name}"
    for name, content in files.items():
        storage.write(name, content)
        parent.log_bytes(content, name)
    best = ranked[0].value(config.metric)
    if best is not None:
        parent.log_metrics({f"best/{config.metric}": best})
        console.print(
            f"best: {ranked[0].name}; evaluate it: python jobs/evaluate.py checkpoint={folder}/{ranked[0].name}"
        )
    console.print(f"written to {folder}: {', '.join(files)}; the same in MLflow run {parent.run_id}")
