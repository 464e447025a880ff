"""The sweep job: its command line, and the trials with every check that can be made before one starts.

Only what the checks need is imported here, so that `--check` answers at once; `app.sweep_run` runs the sweep.
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raybind.app.cli import run_job
from raybind.app.console import console
from raybind.app.train import Plan, absolute, check_surroundings, cpus_needed, make_plan, with_absolute_paths
from raybind.config.base import load_config, read_preset, set_dotted, validate
from raybind.config.space import Axis, Point
from raybind.config.sweep import SweepConfig
from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from raybind.integrations.object_store import check_location

SWEEP_RECORD = "raybind-sweep.json"
"""In the sweep's folder, from its start on: the configuration and the MLflow run."""

SCORES = {
    "zero_shot": ("top1", "top5", "class_mean"),
    "retrieval/text_to_item": ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mean_rank"),
    "retrieval/item_to_text": ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mean_rank"),
}
"""What a validation measures (`evaluation.report.to_metrics`)."""

EXAMPLES = """examples:
  python sweeps/run.py sweeps/lora_rank.yaml train.data.root=runs/tiny-vidal --check
  python sweeps/run.py sweeps/demo.yaml train.data.root=runs/tiny-vidal name=demo-2
  ray job submit --working-dir . -- python sweeps/run.py sweeps/temperature.yaml train.data.root=s3://vidal/data \\
    output=s3://vidal/runs max_concurrent_trials=4
"""


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


def main(argv: list[str] | None = None) -> int:
    """Entry point of `sweeps/run.py`. Returns: the exit code."""
    return run_job(
        "Train with several configurations and rank them.", SweepConfig, run, check, argv, EXAMPLES, "SPACE.yaml"
    )


def check(config: SweepConfig) -> None:
    """Every trial's configuration, and whether the trials find a place. Raises: ConfigError."""
    check_location("output", config.output)
    if sweep_storage(config).exists(SWEEP_RECORD):
        raise ConfigError(f"sweep {config.name!r} exists in {config.output!r}; choose another name")
    trials = plan_trials(config)
    _check_metric(config, trials)
    _check_scheduler(config, trials)
    concurrency = min(config.max_concurrent_trials, len(trials))
    if "RAY_ADDRESS" not in os.environ:
        check_cpus(trials, concurrency, os.cpu_count() or 1)
    console.print(f"{len(trials)} trials, {concurrency} at a time, compared by {config.metric} ({config.mode})")
    for trial in trials:
        samples = trial.plan.schedule.total_steps * trial.config.training.global_batch_size
        console.print(f"  {trial.label}: {trial.plan.schedule.total_steps} steps, {samples:,} samples")


def run(config: SweepConfig) -> None:
    """Run all trials and rank them. Raises: RayBindError: no trial succeeded, or the sweep was interrupted."""
    # Ray Tune and MLflow take seconds to import, which `--check` must not wait for.
    from raybind.app.sweep_run import run as run_checked

    run_checked(config)


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


def sweep_storage(config: SweepConfig) -> Storage:
    """Where a sweep keeps its record, its trials and its results."""
    return open_storage(absolute(config.output)).below(config.name)


def check_cpus(trials: list[Trial], concurrency: int, found: float) -> None:
    """Make sure that trials at once need not wait for each other forever. Raises: ConfigError."""
    needed = max(cpus_needed(trial.config) for trial in trials) * concurrency
    if needed > found:
        raise ConfigError(
            f"{concurrency} trials at a time (max_concurrent_trials={concurrency}) need {needed:g} CPUs, the cluster has "
            f"{found:g}; lower it, or train.cluster.num_workers, train.cluster.worker_cpus, train.cluster.reader_cpus"
        )


def describe_values(values: Mapping[str, str]) -> str:
    """What sets a trial apart, in a line."""
    return ", ".join(value if "=" in value else f"{title}={value}" for title, value in values.items())


def axis_titles(axes: tuple[Axis, ...]) -> dict[str, str]:
    """What each axis is called in a table: the last part of its name where that is clear enough."""
    short = {axis.name: axis.name.rpartition(".")[2] for axis in axes}
    count = Counter(short.values())
    return {name: title if count[title] == 1 else name for name, title in short.items()}


def _plan(
    config: SweepConfig, training: TrainConfig, indexes: dict[Any, SplitIndex]
) -> tuple[TrainConfig, Plan]:
    """Look at what a trial names, unless one before it named the same, and resolve its schedule and validations."""
    places = (training.data, training.model.base, training.validation.split)
    if places not in indexes:
        indexes[places] = check_surroundings(training)
    plan = make_plan(training, indexes[places])
    if config.validate_every_epochs is None:
        return training, plan
    steps = max(1, round(config.validate_every_epochs * plan.batching.steps_per_epoch))
    section = training.training.model_copy(update={"checkpoint_every_steps": steps})
    return training.model_copy(update={"training": section}), plan


def _check_metric(config: SweepConfig, trials: list[Trial]) -> None:
    splits = {trial.config.validation.split for trial in trials}
    if None in splits:
        raise ConfigError("validation.split=None: trials are compared by their validation; set train.validation.split")
    known = [f"{split}/{task}/{score}" for split in splits for task, scores in SCORES.items() for score in scores]
    if len(splits) > 1 or config.metric not in known:
        close = difflib.get_close_matches(config.metric, known, n=1, cutoff=0)
        raise ConfigError(f"metric={config.metric!r}: no such metric; did you mean {close[0]!r}? Known: {', '.join(known)}")


def _check_scheduler(config: SweepConfig, trials: list[Trial]) -> None:
    grace, shortest = config.scheduler.grace_epochs, min(epochs(trial.plan) for trial in trials)
    if config.scheduler.kind == "asha" and grace >= shortest:
        raise ConfigError(
            f"scheduler.grace_epochs={grace:g} is not below the {shortest:g} epochs of a trial, so none could be stopped "
            "early; lower it, train longer, or set scheduler.kind=none"
        )


def epochs(plan: Plan) -> float:
    """How often a run goes through its split."""
    return plan.schedule.total_steps / plan.batching.steps_per_epoch


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
