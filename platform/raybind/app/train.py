"""The training job: its command line, and every check that can be made before a worker is taken.

Only what the checks need is imported here, so that `--check` answers at once; `app.train_run` runs the job.
"""

import json
import os
from dataclasses import dataclass

from raybind.app.cli import run_job
from raybind.app.console import console
from raybind.config.base import flatten
from raybind.config.data import DataConfig
from raybind.config.train import TrainConfig
from raybind.data.faults import read_skip_list
from raybind.data.manifest import SplitIndex, read_split
from raybind.data.order import Batching
from raybind.data.shard_cache import check_cache
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from raybind.integrations.object_store import check_location
from raybind.modalities import check_modality
from raybind.model.architecture import read_architecture, shipped_weights
from raybind.training.schedule import Schedule, make_schedule
from raybind.training.text_embeddings import check_cache_exists

RUN_RECORD = "raybind-run.json"
"""Beside the checkpoints: the configuration and the MLflow run, so that a run of the same name goes on as the same."""

MAY_CHANGE = (
    "cluster.",
    "tracking.",
    "training.grad_accum_steps",
    "training.activation_checkpointing",
    "training.zero_stage",
    "training.offload",
    "training.log_every_steps",
    "training.checkpoint_every_steps",
    "training.keep_checkpoints",
    "training.best_metric",
    "training.sample_log",
)
"""What may be other when a run goes on: where and how it runs, not what it computes."""

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


def make_plan(config: TrainConfig, index: SplitIndex | None = None) -> Plan:
    """Resolve batches and schedule; reads the data set's index unless it is at hand. Raises: ConfigError."""
    if index is None:
        check_modality(config.data.modality)
        index = train_index(config.data)
    batching = Batching(len(index), config.training.global_batch_size)
    return Plan(index, batching, make_schedule(config, batching))


def train_index(data: DataConfig) -> SplitIndex:
    """The train split, what is to be skipped left out. Raises: ConfigError: no such data, or no such list."""
    index = read_split(open_storage(data.root), data.modality, data.train_split)
    if data.skip_list is None:
        return index
    folder, _, name = data.skip_list.rpartition("/")
    try:
        text = open_storage(folder or ".").read(name).decode()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.skip_list={data.skip_list!r} cannot be read: {error}") from None
    return index.without(read_skip_list(text, data.skip_list))


def check_surroundings(config: TrainConfig) -> SplitIndex:
    """Look at all that the configuration names: base, storage, splits.

    Returns: the index of the train split. Raises: ConfigError.
    """
    check_modality(config.data.modality)
    arch = read_architecture(config.model.base.architecture)
    weights = config.model.base.weights
    if weights is not None and not os.path.isfile(weights) and shipped_weights(arch, weights) is None:
        # Only open_clip knows its tags, and it takes seconds to import.
        from raybind.model.base import locate_weights

        locate_weights(arch, weights)
    check_location("data.root", config.data.root)
    check_location("run.output", config.run.output)
    data = open_storage(config.data.root)
    if config.validation.split is not None:
        read_split(data, config.data.modality, config.validation.split)
    index = train_index(config.data)
    check_cache(config.cluster.cache, index, config.data.shuffle_window_shards)
    if config.data.text_embeddings == "cached":
        check_cache_exists(config, index)
    return index


def check(config: TrainConfig) -> None:
    """Everything that can be known before a worker is taken. Raises: ConfigError."""
    plan = make_plan(config, check_surroundings(config))
    _check_same_run(with_absolute_paths(config), run_storage(config))
    if "RAY_ADDRESS" not in os.environ and (cpus := os.cpu_count() or 1) < cpus_needed(config):
        raise ConfigError(too_few_cpus(config, cpus))
    console.print(
        f"{len(plan.index):,} samples of {config.data.modality}, {plan.schedule.total_steps} steps of "
        f"{config.training.global_batch_size} ({plan.batching.steps_per_epoch} per epoch), "
        f"{plan.schedule.warmup_steps} of warm-up"
    )


def cpus_needed(config: TrainConfig) -> float:
    """CPUs that the fewest workers take, and one reading task beside them."""
    return (
        config.cluster.min_workers or config.cluster.num_workers
    ) * config.cluster.worker_cpus + config.cluster.reader_cpus


def run(config: TrainConfig) -> None:
    """Train to the end of the schedule. Raises: RayBindError: the run failed for good."""
    # DeepSpeed, Ray Train and MLflow take seconds to import, which `--check` must not wait for.
    from raybind.app.train_run import run as run_checked

    run_checked(with_absolute_paths(config))


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """The same with local paths from the root: workers have working directories of their own."""
    base = config.model.base
    paths = {
        name: os.path.abspath(value)
        for name, value in (("architecture", base.architecture), ("weights", base.weights))
        if value is not None and os.path.exists(value)
    }
    model = config.model.model_copy(update={"base": base.model_copy(update=paths)})
    skip_list = config.data.skip_list
    data = config.data.model_copy(
        update={"root": absolute(config.data.root), "skip_list": skip_list and absolute(skip_list)}
    )
    run = config.run.model_copy(update={"output": absolute(config.run.output)})
    log = config.training.sample_log
    training = config.training.model_copy(update={"sample_log": log and os.path.abspath(log)})
    folder = config.cluster.cache.folder
    cache = config.cluster.cache.model_copy(update={"folder": folder and os.path.abspath(folder)})
    cluster = config.cluster.model_copy(update={"cache": cache})
    return config.model_copy(
        update={"model": model, "data": data, "run": run, "training": training, "cluster": cluster}
    )


def absolute(location: str) -> str:
    """A local path from the root; `s3://` locations stay as they are."""
    return location if "://" in location else open_storage(location).root


def run_storage(config: TrainConfig) -> Storage:
    """Where a run keeps its record and its checkpoints."""
    return open_storage(config.run.output).below(config.run.name)


def _check_same_run(config: TrainConfig, storage: Storage) -> None:
    """A run of this name may go on, but only as what it was; see `MAY_CHANGE`."""
    if not storage.exists(RUN_RECORD):
        return
    before = flatten(TrainConfig.model_validate(json.loads(storage.read(RUN_RECORD))["config"]))
    now = flatten(config)
    changed = [
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE)
    ]
    if changed:
        raise ConfigError(
            f"run {config.run.name!r} exists in {config.run.output!r} with another configuration; "
            "choose another run.name, or resume it as it was:\n" + "\n".join(changed)
        )


def too_few_cpus(config: TrainConfig, cpus: float) -> str:
    """The message for a cluster on which the run would wait forever."""
    cluster = config.cluster
    return (
        f"{cluster.min_workers or cluster.num_workers} workers of cluster.worker_cpus={cluster.worker_cpus:g} and a "
        f"reader of cluster.reader_cpus={cluster.reader_cpus:g} need {cpus_needed(config):g} CPUs, the cluster has "
        f"{cpus:g}; lower them, for instance cluster.worker_cpus=0.5 cluster.reader_cpus=0.5"
    )
