"""Ray Tune: several Ray Train runs that compete.

A trial is a plain function that starts a Ray Train run and takes no CPU itself, only one `tune_driver` of its node, so
that all CPUs stay with the workers. Ray Train's controller hands the workers' reports to Tune. When Tune ends a trial
early, it ends the process of the trial's function, and a cleaner beside Ray Train's controller gives the workers' CPUs
back. The cleaner asks Ray's State API, which the dashboard serves: without it the CPUs would never come back.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.train import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

from raybind.config.sweep import SweepConfig
from raybind.data.order import Batching
from raybind.data.storage import Storage
from raybind.errors import ConfigError

TRIAL_SLOT = "tune_driver"
"""Custom resource of a node: how many trials' functions may run there."""

SAMPLES = "samples"
"""Reported beside the metrics: samples trained on."""

_EPOCHS = "epochs"
"""Reported beside the metrics: passes over the split; not with a trial's last report, which nothing may cut short."""

_OBJECTIVE = "objective"
"""Reported beside the metrics: the one that is compared, or None where it is missing."""


class TrialObserver(Protocol):
    """Told of the trials by their numbers, in one thread."""

    def started(self, number: int) -> None:
        """The trial's function runs."""
        ...

    def reported(self, number: int, metrics: Mapping[str, Any]) -> None:
        """A validation: its metrics, with `step` and `SAMPLES`."""
        ...

    def ended(self, number: int, error: BaseException | None) -> None:
        """The trial reached its end, was stopped early, or failed."""
        ...


@dataclass(frozen=True)
class Competition:
    """What Tune is to run."""

    run_trial: Callable[[int], None]
    """Runs the trial of a number; called in a process of its own."""
    names: list[str]
    """Of the trials, by number."""
    max_epochs: float
    """Of the longest trial."""
    storage: Storage
    """For Tune's own records."""


def check_cluster(concurrency: int) -> None:
    """Make sure that so many trials find a place at once, and leave none behind. Raises: ConfigError."""
    if (slots := ray.cluster_resources().get(TRIAL_SLOT, 0)) < concurrency:
        raise ConfigError(
            f"max_concurrent_trials={concurrency} needs as many of the custom resource {TRIAL_SLOT!r}, the cluster has "
            f"{slots:g}; start its head with `ray start --head --resources='{{\"{TRIAL_SLOT}\": {max(4, concurrency)}}}'`"
        )
    try:
        list_actors(limit=1)
    except RayStateApiException as error:
        raise ConfigError(
            f"the cluster's State API does not answer ({error}), and without it the CPUs of a trial that was stopped "
            "early would never come back; install ray[default] and start the head with --include-dashboard=true"
        ) from None


class ReportToTune(TuneReportCallback):
    """Hands a trial's reports from Ray Train to Tune; made in the trial's function."""

    def __init__(self, metric: str, batching: Batching, total_steps: int) -> None:
        super().__init__()
        self._metric = metric
        self._batching = batching
        self._total_steps = total_steps

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """See `ray.train.UserCallback`."""
        step = metrics[0]["step"]
        values = {
            **metrics[0],
            SAMPLES: step * self._batching.global_batch_size,
            _OBJECTIVE: metrics[0].get(self._metric),
        }
        if step < self._total_steps:
            values[_EPOCHS] = step / self._batching.steps_per_epoch
        super().after_report(run_context, [values], checkpoint)


def run_trials(config: SweepConfig, competition: Competition, observer: TrialObserver) -> None:
    """Run all trials; one that fails leaves the others alone.

    Tune has a thread of its own: it ends trials one after the other when a signal reaches it, which takes longer than
    `ray job stop` waits. So a signal is raised here at once, and the trials end with the driver's process.

    Raises: ConfigError: the trials do not report `config.metric`.
    """
    missing, run_trial, names = _MissingMetric(config.metric), competition.run_trial, competition.names
    tuner = tune.Tuner(
        tune.with_resources(lambda space: run_trial(space["number"]), {"CPU": 0, TRIAL_SLOT: 1}),
        param_space={"number": tune.grid_search(list(range(len(names))))},
        tune_config=tune.TuneConfig(
            scheduler=_scheduler(config, competition.max_epochs),
            max_concurrent_trials=config.max_concurrent_trials,
            trial_name_creator=lambda trial: names[trial.config["number"]],
            trial_dirname_creator=lambda trial: names[trial.config["number"]],
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=competition.storage.root,
            storage_filesystem=competition.storage.filesystem,
            callbacks=[_Relay(observer)],
            stop=missing,
            verbose=0,
        ),
    )
    _in_thread(tuner.fit)
    if missing.reported is not None:
        known = ", ".join(sorted(name for name in missing.reported if name.startswith(config.metric.split("/")[0])))
        raise ConfigError(f"metric={config.metric!r} is not among what the trials report: {known}")


def _scheduler(config: SweepConfig, max_epochs: float) -> ASHAScheduler | None:
    if config.scheduler.kind == "none":
        return None
    return ASHAScheduler(
        time_attr=_EPOCHS,
        metric=_OBJECTIVE,
        mode=config.mode,
        max_t=max_epochs,
        grace_period=config.scheduler.grace_epochs,
        reduction_factor=config.scheduler.reduction_factor,
    )


class _MissingMetric(tune.Stopper):
    """Ends everything at the first report that lacks what trials are compared by."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self.reported: dict[str, Any] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if self._metric not in result:
            self.reported = result
        return self.stop_all()

    def stop_all(self) -> bool:
        return self.reported is not None


class _Relay(tune.Callback):
    """Tune's events as those of a `TrialObserver`."""

    def __init__(self, observer: TrialObserver) -> None:
        self._observer = observer

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._observer.started(trial.config["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        self._observer.reported(trial.config["number"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._observer.ended(trial.config["number"], None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_error()
        self._observer.ended(trial.config["number"], error.cause if isinstance(error, RayTaskError) else error)


def _in_thread(work: Callable[[], Any]) -> None:
    """Do `work` in another thread and wait, so that signals reach this one in the meantime."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
