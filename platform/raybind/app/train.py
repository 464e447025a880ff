"""The training job: checks, then `integrations.ray_train` -> `training.loop` in every worker.

This is the composition root: it alone knows which adapters stand behind the ports.
"""

import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
import ray.train
from ray.util.queue import Queue

from raybind.app.cli import run_job
from raybind.app.console import Progress, console, show_parameters
from raybind.config.base import flatten
from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex, read_split
from raybind.data.order import Batching, Cursor
from raybind.data.reader import Arrays, SampleReader
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError, RayBindError
from raybind.integrations.deepspeed import DeepSpeedEngine
from raybind.integrations.mlflow import MlflowSink, TrackedRun, tracking_uri
from raybind.integrations.object_store import check_location
from raybind.integrations.progress import QueueSink, relayed
from raybind.integrations.ray_cluster import check_cpus, connect, planned_cpus
from raybind.integrations.ray_data import StreamPlan, dataset_factory, iterate_shard
from raybind.integrations.ray_train import RayWorkerContext, newest_cursor, run_workers
from raybind.modalities import get_modality
from raybind.model import Tokenizer, build_model, read_architecture
from raybind.model.base import locate_weights
from raybind.model.bound import describe_model
from raybind.training.batch import Collator
from raybind.training.checkpoint import (
    check_base,
    load_parameters,
    read_optimizer,
    read_parameters,
    read_state,
    restore_generator,
)
from raybind.training.loop import Loop
from raybind.training.ports import MetricSink
from raybind.training.schedule import Schedule, make_schedule

RUN_RECORD = "raybind-run.json"
"""Beside the checkpoints: the configuration and the MLflow run, so that a run of the same name goes on as the same."""

EXAMPLES = """examples:
  python jobs/train.py --config jobs/presets/depth_tiny.yaml data.root=runs/tiny-vidal run.name=first
  python jobs/train.py --config jobs/presets/depth.yaml data.root=s3://vidal run.output=s3://vidal/runs --check
  ray job submit --working-dir . -- python jobs/train.py --config jobs/presets/depth_tiny.yaml data.root=s3://vidal
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/train.py`. Returns: the exit code."""
    return run_job("Bind one modality to language, or pretrain a base.", TrainConfig, run, check, argv, EXAMPLES)


@dataclass(frozen=True)
class Plan:
    """What the configuration comes to, given the data."""

    index: SplitIndex
    batching: Batching
    schedule: Schedule


def make_plan(config: TrainConfig) -> Plan:
    """Read the data set's index and resolve batches and schedule. Raises: ConfigError."""
    get_modality(config.data.modality)
    index = read_split(open_storage(config.data.root), config.data.modality, config.data.train_split)
    batching = Batching(len(index), config.training.global_batch_size)
    return Plan(index, batching, make_schedule(config, batching))


def check(config: TrainConfig) -> None:
    """Everything that can be known before a worker is taken. Raises: ConfigError."""
    get_modality(config.data.modality)
    arch = read_architecture(config.model.base.architecture)
    if config.model.base.weights is not None:
        locate_weights(arch, config.model.base.weights)
    check_location("data.root", config.data.root)
    check_location("run.output", config.run.output)
    plan = make_plan(config)
    _check_same_run(config, _run_storage(config))
    cpus = planned_cpus()
    if cpus is not None and cpus < cpus_needed(config):
        raise ConfigError(_too_few_cpus(config, cpus))
    show_parameters(describe_model(config.model))
    console.print(
        f"{len(plan.index):,} samples of {config.data.modality}, {plan.schedule.total_steps} steps of "
        f"{config.training.global_batch_size} ({plan.batching.steps_per_epoch} per epoch), "
        f"{plan.schedule.warmup_steps} of warm-up"
    )


def cpus_needed(config: TrainConfig) -> float:
    """CPUs the workers take, and one reading task beside them."""
    return config.cluster.num_workers * config.cluster.worker_cpus + config.cluster.reader_cpus


def run(config: TrainConfig) -> ray.train.Result:
    """Train to the end of the schedule. Raises: RayBindError: the run failed for good."""
    connect()
    check_cpus(
        cpus_needed(config),
        f"cluster.num_workers={config.cluster.num_workers} of cluster.worker_cpus={config.cluster.worker_cpus:g} and "
        f"a reader of cluster.reader_cpus={config.cluster.reader_cpus:g}",
    )
    plan = make_plan(config)
    tracked = _open_run(config, plan)
    console.print(f"run {config.run.name}: MLflow run {tracked.run_id} at {tracked.uri}")
    try:
        with relayed(Progress(plan.schedule.total_steps).show) as queue:
            result = _train(config, plan, tracked, queue)
    except BaseException as error:
        tracked.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, ray.train.TrainingFailedError):
            raise RayBindError(_first_cause(error)) from error
        raise
    tracked.finish("FINISHED")
    console.print(f"checkpoint: {result.checkpoint.path if result.checkpoint else 'none'}")
    return result


def _train(config: TrainConfig, plan: Plan, tracked: TrackedRun, queue: Queue) -> ray.train.Result:
    arch = read_architecture(config.model.base.architecture)
    stream = StreamPlan(
        SampleReader(plan.index, config.data, arch.vision.image_size, config.run.seed),
        plan.batching,
        plan.schedule.total_steps,
        config.cluster.num_workers,
        config.cluster.reader_cpus,
    )
    storage = _run_storage(config)
    arguments = {
        "config": config.model_dump(mode="json"),
        "plan": (plan.batching, plan.schedule),
        "mlflow": (tracked.uri, tracked.run_id),
        "queue": queue,
    }
    return run_workers(train_worker, arguments, config, dataset_factory(stream, lambda: newest_cursor(storage)))


def train_worker(arguments: dict[str, Any]) -> None:
    """What each Ray Train worker runs: build the parts, restore, loop."""
    config = TrainConfig.model_validate(arguments["config"])
    batching, schedule = arguments["plan"]
    torch.set_num_threads(config.cluster.threads_per_worker)
    context = RayWorkerContext()
    torch.manual_seed(config.run.seed + context.rank)
    model, base_fingerprint = build_model(config.model, config.run.seed)
    arch = read_architecture(config.model.base.architecture)
    with context.latest_checkpoint() as folder:
        state = read_state((folder / "state.json").read_bytes()) if folder else None
        if state is not None and folder is not None:
            check_base(state, base_fingerprint)
            load_parameters(model, read_parameters(folder))
        engine = DeepSpeedEngine(model, config)
        if state is not None and folder is not None:
            engine.load_optimizer_state(read_optimizer(folder, state))
            restore_generator(folder, context.rank)

    def batches(start: Cursor) -> Iterator[Arrays]:
        return iterate_shard(ray.train.get_dataset_shard("train"))

    loop = Loop(
        config=config,
        engine=engine,
        collate=Collator(
            Tokenizer(arch.text.vocab_size, arch.text.context_length),
            arch.vision.num_patches,
            config.model.mask_ratio,
            config.run.seed,
            context.device,
        ),
        batches=batches,
        batching=batching,
        schedule=schedule,
        context=context,
        sink=_sink(context, arguments),
        base_fingerprint=base_fingerprint,
    )
    loop.run(state.step if state else 0)


class _FanOut:
    """Several sinks as one; none for the ranks that record nothing."""

    def __init__(self, *sinks: MetricSink) -> None:
        self._sinks = sinks

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for sink in self._sinks:
            sink.log(step, metrics)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def _sink(context: RayWorkerContext, arguments: dict[str, Any]) -> MetricSink:
    if context.rank != 0:
        return _FanOut()
    spool = Path(tempfile.mkdtemp(prefix="raybind-metrics-")) / "metrics.jsonl"
    return _FanOut(MlflowSink(TrackedRun(*arguments["mlflow"]), spool), QueueSink(arguments["queue"]))


def _run_storage(config: TrainConfig) -> Storage:
    return open_storage(config.run.output).below(config.run.name)


def _open_run(config: TrainConfig, plan: Plan) -> TrackedRun:
    """The MLflow run: that of the run's record where there is one, else a new one."""
    storage = _run_storage(config)
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
            "raybind.version": importlib.metadata.version("raybind"),
        },
    )
    tracked.log_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "config.yaml")
    tracked.log_text(_environment(), "environment.txt")
    tracked.log_text("\n".join(f"{part}\t{n}" for part, n in describe_model(config.model)), "trainable_parameters.tsv")
    record = {"mlflow_run_id": tracked.run_id, "config": config.model_dump(mode="json")}
    storage.write(RUN_RECORD, json.dumps(record, indent=1).encode())
    return tracked


def _check_same_run(config: TrainConfig, storage: Storage) -> None:
    """A run of this name may go on, but only as what it was: the cluster and the tracker may change."""
    if not storage.exists(RUN_RECORD):
        return
    before = flatten(TrainConfig.model_validate(json.loads(storage.read(RUN_RECORD))["config"]))
    now = flatten(config)
    changed = [
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(("cluster.", "tracking."))
    ]
    if changed:
        raise ConfigError(
            f"run {config.run.name!r} exists in {config.run.output!r} with another configuration; "
            "choose another run.name, or resume it as it was:\n" + "\n".join(changed)
        )


def _too_few_cpus(config: TrainConfig, cpus: float) -> str:
    return (
        f"cluster.num_workers={config.cluster.num_workers} of cluster.worker_cpus={config.cluster.worker_cpus:g} and a "
        f"reader of cluster.reader_cpus={config.cluster.reader_cpus:g} need {cpus_needed(config):g} CPUs, this machine "
        f"has {cpus:g}; lower them, for instance cluster.worker_cpus=0.5 cluster.reader_cpus=0.5"
    )


def _environment() -> str:
    packages = sorted({f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()}, key=str.lower)
    return "\n".join([f"Python {platform.python_version()} on {platform.platform()}", *packages])


def _first_cause(error: BaseException) -> str:
    """The message of what went wrong in a worker, without the frames around it."""
    failures = getattr(error, "worker_failures", None) or {}
    first = next(iter(failures.values()), error)
    return str(first)


