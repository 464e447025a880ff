"""Ray Tune: several Ray Train runs that compete.

A trial is a plain function that starts a Ray Train run and takes no CPU itself, only one `tune_driver` of its node, so
that all CPUs stay with the workers. Ray Train's controller hands the workers' reports to Tune. When Tune ends a trial
early, it ends the process of the trial's function, and a cleaner beside Ray Train's controller gives the workers' CPUs
back. The cleaner asks Ray's State API, which the dashboard serves: without it the CPUs would never come back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray import tune
from ray.train import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler
from ray.util.queue import Queue
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

from raybind.config.sweep import SweepConfig
from raybind.data.order import Batching
from raybind.data.storage import Storage
from raybind.errors import ConfigError, RayBindError
from raybind.integrations.progress import relayed

TRIAL_SLOT = "tune_driver"
"""Custom resource of a node: how many trials' functions may run there."""

SAMPLES = "samples"
"""Reported beside the metrics: samples trained on."""

_EPOCHS = "epochs"
"""Reported beside the metrics: passes over the split; not with a trial's last report, which nothing may cut short."""

_OBJECTIVE = "objective"
"""Reported beside the metrics: the one that is compared, or None where it is missing."""


class TrialObserver(Protocol):
    """Told of the trials by their numbers, one event after the other."""

    def started(self, number: int) -> None:
        """The trial's function runs."""
        ...

    def reported(self, number: int, metrics: Mapping[str, Any]) -> None:
        """A validation: its metrics, with `step` and `SAMPLES`."""
        ...

    def failed(self, number: int, cause: str) -> None:
        """The trial's function raised; `ended` follows."""
        ...

    def ended(self, number: int, succeeded: bool) -> None:
        """The trial reached its end or was stopped early, or it did not succeed."""
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
            f"{slots:g}; start its head with "
            f"`ray start --head --resources='{{\"{TRIAL_SLOT}\": {max(4, concurrency)}}}'`"
        )
    try:
        list_actors(address=ray.get_runtime_context().gcs_address, limit=1)
    except RayStateApiException as error:
        raise ConfigError(
            f"the cluster's State API does not answer ({error}), and without it the CPUs of a trial that was stopped "
            "early would never come back; install ray[default] and start the head with --include-dashboard=true"
        ) from None


def describe_error(error: BaseException) -> str:
    """The message of an error on one line; its type too where it is none of ours."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if isinstance(error, RayBindError) else f"{type(error).__name__}: {message}"


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

    Tune runs in a task: its trials then find this cluster by `RAY_ADDRESS` even where several run on one machine, and a
    signal ends the driver at once, and all trials with it. In the driver, Tune would answer a signal by ending trials
    one after the other, for longer than `ray job stop` waits.

    Raises: ConfigError: the trials do not report `config.metric`.
    """
    environment = {"env_vars": {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}}
    task = ray.remote(_tune).options(num_cpus=0, max_retries=0, runtime_env=environment)
    with relayed(observer) as queue:
        reported = ray.get(task.remote(config, competition, queue))
    if reported is not None:
        split = config.metric.partition("/")[0]
        known = ", ".join(sorted(name for name in reported if name.startswith(f"{split}/")))
        raise ConfigError(f"metric={config.metric!r} is not among what the trials report: {known}")


def _tune(config: SweepConfig, competition: Competition, queue: Queue) -> list[str] | None:
    """Run Tune. Returns: what a trial reported, where it lacks what trials are compared by; None where all is well."""
    missing, names, run_trial = _MissingMetric(config.metric), competition.names, competition.run_trial

    def trial_function(space: dict[str, int]) -> None:
        try:
            run_trial(space["number"])
        except Exception as error:
            # Tune would tell the callback that there was an error, but not which.
            queue.put(("failed", space["number"], describe_error(error)))
            raise

    tune.Tuner(
        tune.with_resources(trial_function, {"CPU": 0, TRIAL_SLOT: 1}),
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
            callbacks=[_Relay(queue)],
            stop=missing,
            verbose=0,
        ),
    ).fit()
    return missing.reported


def _scheduler(config: SweepConfig, max_epochs: float) -> ASHAScheduler | None:
    if config.scheduler.kind == "none":
        return None
    return ASHAScheduler(
        time_attr=_EPOCHS,
        metric=_OBJECTIVE,
        mode=config.mode,
        max_t=max_epochs,  # pyright: ignore[reportArgumentType] fractions of epochs work as well
        grace_period=config.scheduler.grace_epochs,  # pyright: ignore[reportArgumentType]
        reduction_factor=config.scheduler.reduction_factor,
    )


class _MissingMetric(tune.Stopper):
    """Ends everything at the first report that lacks what trials are compared by."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self.reported: list[str] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if self._metric not in result:
            self.reported = list(result)
        return self.stop_all()

    def stop_all(self) -> bool:
        return self.reported is not None


class _Relay(tune.Callback):
    """Sends Tune's events to a `TrialObserver` in the driver."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._queue.put(("started", trial.config["number"]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._queue.put(("reported", trial.config["number"], dict(result)))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._queue.put(("ended", trial.config["number"], True))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._queue.put(("ended", trial.config["number"], False))
