"""What became of each trial of a sweep, and how its scores are written."""

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["waiting", "running", "finished", "stopped early", "failed", "interrupted"]


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

    place: int
    """Its number in the sweep."""
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


def format_score(metric: str, value: float) -> str:
    """A proportion in percent, a rank as it is."""
    return f"{value:.1f}" if is_rank(metric) else f"{value:.1%}"


def is_rank(metric: str) -> bool:
    """Whether a metric is a rank, not a proportion."""
    return metric.endswith("_rank")
