"""Running a checked training job: `integrations.ray_train` -> `training.loop` in every worker.

This is the composition root: it alone knows which adapters stand behind the ports.
"""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.train
import yaml
from ray.actor import ActorProxy
from ray.util.queue import Queue

from raybind import __version__
from raybind.app.console import Progress, console, show_parameters
from raybind.app.train import RUN_RECORD, Plan, cpus_needed, make_plan, run_storage, too_few_cpus
from raybind.config.base import flatten
from raybind.config.train import TrainConfig
from raybind.data.order import Cursor
from raybind.data.text_cache import TextCache
from raybind.errors import ConfigError, RankFailed, RayBindError
from raybind.integrations.mlflow import TrackedRun, tracking_uri
from raybind.integrations.progress import relayed
from raybind.integrations.ray_cluster import connect
from raybind.integrations.ray_data import StreamPlan, lap_datasets
from raybind.integrations.ray_train import ControllerCallback, last_line, newest_state, run_workers
from raybind.integrations.run_watch import RunWatch, start_watch
from raybind.model.architecture import read_architecture
from raybind.model.base import load_base
from raybind.model.bound import describe_model
from raybind.training.checkpoint import check_data
from raybind.training.failures import memory_remedy
from raybind.training.task import input_shape
from raybind.training.text_embeddings import require_cache


def run(config: TrainConfig) -> None:
    """Train to the end of the schedule. Raises: RayBindError: the run failed for good."""
    connect()
    cpus = ray.cluster_resources().get("CPU", 0)
    if cpus < cpus_needed(config):
        raise ConfigError(too_few_cpus(config, cpus))
    plan = make_plan(config)
    done = newest_state(run_storage(config))
    if done is not None:
        check_data(done, plan.index.digest)
    if done is not None and done.step == plan.schedule.total_steps:
        console.print(f"run {config.run.name} is complete at step {done.step}: {run_storage(config).root}")
        return
    show_parameters(describe_model(config.model, input_shape(config)))
    tracked = open_run(config, plan)
    console.print(f"run {config.run.name}: MLflow run {tracked.run_id} at {tracked.uri}")
    with relayed(Progress(plan.schedule.total_steps)) as queue:
        result = train_tracked(config, plan, tracked, queue)
    console.print(f"checkpoint: {result.checkpoint.path if result.checkpoint else 'none'}")


def train_tracked(
    config: TrainConfig,
    plan: Plan,
    tracked: TrackedRun,
    queue: Queue | None = None,
    callbacks: Sequence[ray.train.UserCallback] = (),
) -> ray.train.Result:
    """Train, and end the MLflow run as the training ends.

    Args:
        queue: takes calls of `Progress` as things happen.
        callbacks: see `run_workers`.
    Raises: RayBindError: the run failed for good.
    """
    watch = start_watch(config.cluster.hang_seconds, queue)
    try:
        result = _train(config, plan, tracked, watch, queue, callbacks)
        if result.return_value is not None:
            raise RayBindError(result.return_value)
    except BaseException as error:
        tracked.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, ray.train.TrainingFailedError):
            raise RayBindError(ray.get(watch.verdict.remote()) or _first_cause(error, config)) from error
        raise
    tracked.finish("FINISHED")
    return result


def _train(
    config: TrainConfig,
    plan: Plan,
    tracked: TrackedRun,
    watch: "ActorProxy[RunWatch]",
    queue: Queue | None,
    callbacks: Sequence[ray.train.UserCallback],
) -> ray.train.Result:
    stream = StreamPlan(
        index=ray.put(plan.index),
        text_cache=_text_cache(config, plan),
        config=config.data,
        shape=input_shape(config),
        seed=config.run.seed,
        batching=plan.batching,
        micro_batch_size=config.micro_batch_size,
        total_steps=plan.schedule.total_steps,
        cluster=config.cluster,
    )
    storage = run_storage(config)
    arguments = {
        "config": config.model_dump(mode="json"),
        "plan": (plan.batching, plan.schedule),
        "data_digest": plan.index.digest,
        "mlflow": (tracked.uri, tracked.run_id),
        "watch": watch,
        "queue": queue,
    }

    def newest_cursor() -> Cursor:
        state = newest_state(storage)
        return state.cursor if state else Cursor()

    callbacks = [*callbacks, ControllerCallback(storage, watch, queue)]
    return run_workers(_start_worker, arguments, config, lap_datasets(stream, newest_cursor), callbacks)


def _text_cache(config: TrainConfig, plan: Plan) -> "ray.ObjectRef[TextCache] | None":
    weights = config.model.base.weights
    if config.data.text_embeddings == "computed" or weights is None:
        return None
    base = load_base(read_architecture(config.model.base.architecture), weights)
    return ray.put(require_cache(config, plan.index, base.fingerprint))


def _start_worker(arguments: dict[str, Any]) -> str | None:
    """Returns: what ended the run for good on every rank; Ray Train would try again after an exception."""
    # DeepSpeed takes seconds to import, which the driver need not spend.
    from raybind.app.train_worker import train_worker

    watch: ActorProxy[RunWatch] = arguments["watch"]
    verdict: Any = ray.get(watch.verdict.remote())
    if verdict is not None:
        return verdict
    try:
        train_worker(arguments)
    except RankFailed as error:
        ray.get(watch.end.remote(str(error)))
        raise
    except RayBindError as error:
        return str(error)
    return None


def open_run(config: TrainConfig, plan: Plan, tags: Mapping[str, str] | None = None) -> TrackedRun:
    """The MLflow run: that of the run's record where there is one, else a new one with `tags` beside its own."""
    storage = run_storage(config)
    uri = tracking_uri(config.tracking, config.run.output)
    if storage.exists(RUN_RECORD):
        tracked = TrackedRun(uri, json.loads(storage.read(RUN_RECORD))["mlflow_run_id"])
        tracked.resume()
        return tracked
    tracked = TrackedRun.start(
        uri,
        config.tracking.experiment,
        config.run.name,
        params=flatten(config),
        tags={
            "raybind.modality": config.data.modality,
            "raybind.manifest_digest": plan.index.manifest_digest,
            "raybind.data_digest": plan.index.digest,
            "raybind.version": __version__,
            **(tags or {}),
        },
    )
    tracked.log_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "config.yaml")
    tracked.log_text(_environment(), "environment.txt")
    table = describe_model(config.model, input_shape(config))
    tracked.log_text("\n".join(f"{part}\t{number}" for part, number in table), "trainable_parameters.tsv")
    record = {"mlflow_run_id": tracked.run_id, "config": config.model_dump(mode="json")}
    storage.write(RUN_RECORD, json.dumps(record, indent=1).encode())
    return tracked


def _environment() -> str:
    packages = sorted({f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}, key=str.lower)
    return "\n".join([f"Python {platform.python_version()} on {platform.platform()}", *packages])


def _first_cause(error: ray.train.TrainingFailedError, config: TrainConfig) -> str:
    """What went wrong in the first worker that failed."""
    failures = error.worker_failures if isinstance(error, ray.train.WorkerGroupError) else {}
    first = next(iter(failures.values()), error)
    cause = last_line(first)
    # The monitor of a node's memory names itself when it has killed a process.
    if "OOM" in str(first) or "out of memory" in str(first).lower():
        return f"{cause}; {memory_remedy(config)}"
    return cause
