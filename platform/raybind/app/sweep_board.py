"""What is known of a sweep's trials while they run: on the console, in memory for the ranking, and in MLflow."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raybind.app.console import console
from raybind.app.sweep_plan import Trial
from raybind.integrations.mlflow import RunStatus, TrackedRun
from raybind.integrations.ray_tune import SAMPLES

TRIAL_TAG = "raybind.trial"
"""MLflow tag of a trial's run: the trial's name."""

STOPPED_EARLY_TAG = "raybind.stopped_early"
"""MLflow tag "true" of a trial's run that the scheduler ended."""

State = Literal["waiting", "running", "finished", "stopped early", "failed", "interrupted"]

RUN_STATUS: dict[State, RunStatus] = {
    "finished": "FINISHED",
    "stopped early": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
"""How the MLflow run of a trial in a final state ends."""


@dataclass(frozen=True)
class Report:
    """One validation of a trial."""

    step: int
    samples: int
    """Trained on so far."""
    metrics: dict[str, float]


@dataclass
class TrialRecord:
    """What became of a trial."""

    name: str
    values: dict[str, str]
    settings: dict[str, Any]
    total_steps: int
    state: State = "waiting"
    reports: list[Report] = field(default_factory=list)
    began: float = 0.0
    seconds: float = 0.0
    """From the start of its first process to its end."""
    cause: str = ""
    """Why it failed."""
    run_id: str | None = None
    """Of its MLflow run."""

    def value(self, metric: str) -> float | None:
        """The metric of its last report."""
        return self.reports[-1].metrics.get(metric) if self.reports else None

    @property
    def status(self) -> str:
        """The state in words."""
        if self.state == "failed":
            return f"failed: {self.cause}"
        if self.state in ("stopped early", "interrupted"):
            return f"{self.state} at step {self.reports[-1].step if self.reports else 0} of {self.total_steps}"
        return self.state


class Board:
    """A `TrialObserver` that keeps the records, prints a line per event and ends MLflow runs that nobody else ends."""

    def __init__(self, trials: list[Trial], metric: str, parent: TrackedRun) -> None:
        self.records = [
            TrialRecord(trial.name, trial.values, trial.settings, trial.plan.schedule.total_steps) for trial in trials
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

    def ended(self, number: int, cause: str | None) -> None:
        """See `TrialObserver`."""
        record = self.records[number]
        record.seconds = time.monotonic() - record.began
        if cause is not None:
            record.state, record.cause = "failed", cause
        elif record.reports and record.reports[-1].step == record.total_steps:
            record.state = "finished"
        else:
            record.state = "stopped early"
        console.print(f"{record.name}  {record.status} after {record.seconds:.0f} s")
        self.settle()

    def interrupt(self) -> None:
        """The sweep ends now, and with it all trials that run."""
        for record in self.records:
            if record.state == "running":
                record.state, record.seconds = "interrupted", time.monotonic() - record.began
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


def format_score(metric: str, value: float) -> str:
    """A proportion in percent, a rank as it is."""
    return f"{value:.1f}" if "_rank" in metric else f"{value:.1%}"
