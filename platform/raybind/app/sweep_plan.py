"""The trials of a sweep: what each trains with, and whether they can run and be compared.

Like `app.train`, it imports only what the checks need.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raybind.app.train import Plan, check_surroundings, cpus_needed, make_plan, with_absolute_paths
from raybind.config.base import read_preset, set_dotted, validate
from raybind.config.space import Axis, Point
from raybind.config.sweep import SweepConfig
from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex
from raybind.errors import ConfigError

SCORES = {
    "zero_shot": ("top1", "top5", "class_mean"),
    "retrieval/text_to_item": ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mean_rank"),
    "retrieval/item_to_text": ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mean_rank"),
}
"""What a validation measures (`evaluation.report.to_metrics`)."""


@dataclass(frozen=True)
class Trial:
    """One training run of a sweep."""

    name: str
    values: dict[str, str]
    """What sets it apart, for people: axis title -> value."""
    settings: Point
    """The same as dotted configuration keys."""
    config: TrainConfig
    plan: Plan

    @property
    def label(self) -> str:
        """Name and values in a line."""
        return f"{self.name} ({describe_values(self.values)})"


def plan_trials(config: SweepConfig) -> list[Trial]:
    """The trials of a sweep. Raises: ConfigError: lists every problem with the trials that have it."""
    titles = axis_titles(config.axes)
    indexes: dict[Any, SplitIndex] = {}
    trials: list[Trial] = []
    problems: dict[str, list[str]] = {}
    for number, point in enumerate(config.points):
        name = f"trial-{number:02}"
        settings = {key: value for values in point.values() for key, value in values.items()}
        values = {titles[axis]: _shown(axis, chosen) for axis, chosen in point.items()}
        try:
            training, plan = _plan(config, trial_config(config, name, settings), indexes)
        except ConfigError as error:
            problems.setdefault(str(error), []).append(f"{name} ({describe_values(values)})")
            continue
        trials.append(Trial(name, values, settings, training, plan))
    if problems:
        raise ConfigError("\n".join(f"{', '.join(names)}:\n  {problem}" for problem, names in problems.items()))
    return trials


def trial_config(config: SweepConfig, name: str, settings: Point) -> TrainConfig:
    """The training configuration of a trial: preset, then `train`, then its settings. Raises: ConfigError."""
    values = read_preset(config.preset)
    for key, value in _leaves(config.train):
        set_dotted(values, key, value)
    own = {
        "run.name": name,
        "run.output": f"{config.output}/{config.name}",
        "tracking": config.tracking.model_dump(),
    }
    for key, value in {**settings, **own}.items():
        set_dotted(values, key, value)
    return with_absolute_paths(validate(TrainConfig, values))


def check_cpus(trials: list[Trial], concurrency: int, found: float) -> None:
    """Make sure that trials at once need not wait for each other forever. Raises: ConfigError."""
    needed = max(cpus_needed(trial.config) for trial in trials) * concurrency
    if needed > found:
        raise ConfigError(
            f"{concurrency} trials at a time (max_concurrent_trials) need {needed:g} CPUs, the cluster has {found:g}; "
            f"lower it, or train.cluster.num_workers, train.cluster.worker_cpus, train.cluster.reader_cpus"
        )


def check_metric(config: SweepConfig, trials: list[Trial]) -> None:
    """Make sure that all trials measure what they are compared by. Raises: ConfigError."""
    splits = {trial.config.validation.split for trial in trials}
    if None in splits:
        raise ConfigError("validation.split=None: trials are compared by their validation; set train.validation.split")
    known = [f"{split}/{task}/{score}" for split in splits for task, scores in SCORES.items() for score in scores]
    if len(splits) > 1 or config.metric not in known:
        close = difflib.get_close_matches(config.metric, known, n=1, cutoff=0)
        raise ConfigError(
            f"metric={config.metric!r}: no such metric; did you mean {close[0]!r}? Known: {', '.join(known)}"
        )


def check_scheduler(config: SweepConfig, trials: list[Trial]) -> None:
    """Make sure that a scheduler can stop something. Raises: ConfigError."""
    grace, shortest = config.scheduler.grace_epochs, min(epochs(trial.plan) for trial in trials)
    if config.scheduler.kind == "asha" and grace >= shortest:
        raise ConfigError(
            f"scheduler.grace_epochs={grace:g} is not below the {shortest:g} epochs of a trial, so none could be "
            "stopped early; lower it, train longer, or set scheduler.kind=none"
        )


def epochs(plan: Plan) -> float:
    """How often a run goes through its split."""
    return plan.schedule.total_steps / plan.batching.steps_per_epoch


def describe_values(values: Mapping[str, str]) -> str:
    """What sets a trial apart, in a line."""
    return ", ".join(value if "=" in value else f"{title}={value}" for title, value in values.items())


def axis_titles(axes: tuple[Axis, ...]) -> dict[str, str]:
    """What each axis is called in a table: the last part of its name where that is clear enough."""
    short = {axis.name: axis.name.rpartition(".")[2] for axis in axes}
    count = Counter(short.values())
    return {name: title if count[title] == 1 else name for name, title in short.items()}


def _plan(config: SweepConfig, training: TrainConfig, indexes: dict[Any, SplitIndex]) -> tuple[TrainConfig, Plan]:
    """Look at what a trial names, unless one before it named the same, and resolve its schedule and validations."""
    places = (training.data, training.model.base, training.validation.split)
    if places not in indexes:
        indexes[places] = check_surroundings(training)
    plan = make_plan(training, indexes[places])
    if config.validate_every_epochs is None:
        return training, plan
    steps = math.ceil(config.validate_every_epochs * plan.batching.steps_per_epoch)
    section = training.training.model_copy(update={"checkpoint_every_steps": steps})
    return training.model_copy(update={"training": section}), plan


def _leaves(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(axis: str, point: Point) -> str:
    if list(point) == [axis]:
        return _text(point[axis])
    return " ".join(f"{key.rpartition('.')[2]}={_text(value)}" for key, value in point.items())


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
