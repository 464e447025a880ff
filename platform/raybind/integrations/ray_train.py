"""Ray Train: starting a group of workers, and the worker context port inside them."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed as dist
from ray.actor import ActorProxy
from ray.data import Dataset
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    CheckpointUploadMode,
    FailureConfig,
    RunConfig,
    UserCallback,
)
from ray.train import ScalingConfig as RayScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch import get_device as ray_train_device
from ray.util.queue import Queue

from raybind.config.train import TrainConfig
from raybind.data.storage import Storage, open_storage
from raybind.integrations.ray_data import LapsForWorkers
from raybind.integrations.run_watch import Heartbeat, Place, RunWatch
from raybind.integrations.train_snapshot import keep_copy, mend, newest_checkpoint
from raybind.training.checkpoint import CheckpointState, read_state

UPLOAD_RETRIES = 15
"""Tries of each request with which Ray Train stores checkpoints and its record of them: object storage may be away for
three minutes."""


_NO_ROOM = os.strerror(errno.ENOSPC)


class RayWorkerContext:
    """`training.ports.WorkerContext` inside a Ray Train worker."""

    def __init__(self, watch: "ActorProxy[RunWatch]") -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray_train_device()
        start = [f"{time.time_ns():x}"]
        dist.broadcast_object_list(start)
        self.start = start[0]
        """Of the workers; later ones sort behind earlier ones."""
        self._notice: ray.train.PreemptionInfo | None = None
        self.heartbeat = Heartbeat(watch, self.start, self.rank)

    def at(self, step: int, phase: str) -> None:
        """See `WorkerContext`."""
        self.heartbeat.place = Place(step, phase)

    def must_leave(self) -> bool:
        """See `WorkerContext`; Ray Train tells of nodes that are being drained."""
        notice = ray.train.get_preemption_info()
        new = notice is not None and notice != self._notice
        self._notice = notice
        return new

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """See `WorkerContext`; uploads in the background."""
        # A report of the same folder name would merge into one left behind by killed workers: the start is part of it.
        ray.train.report(
            dict(metrics),
            checkpoint=Checkpoint.from_directory(checkpoint) if checkpoint else None,
            checkpoint_dir_name=f"step-{int(metrics['step']):08d}-{self.start}" if checkpoint else None,
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=True,
        )

    @contextmanager
    def latest_checkpoint(self) -> Iterator[Path | None]:
        """See `WorkerContext`."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            yield None
            return
        with checkpoint.as_directory() as folder:
            yield Path(folder)


def run_workers(
    worker: Callable[[dict[str, Any]], Any],
    worker_arguments: dict[str, Any],
    config: TrainConfig,
    datasets: Mapping[str, Callable[[], Dataset]],
    callbacks: Sequence[UserCallback] = (),
) -> ray.train.Result:
    """Run `worker` on `cluster.num_workers` processes until it returns, restarting the group when one dies.

    Args:
        callbacks: told of every report of the workers, and of their ends.
    Raises: ray.train.TrainingFailedError: more failures than `cluster.max_failures`.
    """
    storage = open_storage(config.run.output, UPLOAD_RETRIES)
    mend(storage.below(config.run.name))
    cluster = config.cluster
    trainer = TorchTrainer(
        worker,
        train_loop_config=worker_arguments,
        torch_config=TorchConfig(backend="nccl" if cluster.use_gpu else "gloo"),
        datasets=dict(datasets),
        dataset_config=LapsForWorkers(),
        scaling_config=RayScalingConfig(
            num_workers=(cluster.min_workers, cluster.num_workers) if cluster.min_workers else cluster.num_workers,
            elastic_resize_monitor_interval_s=cluster.resize_check_seconds,
            use_gpu=cluster.use_gpu,
            resources_per_worker={"CPU": cluster.worker_cpus} | ({"GPU": 1} if cluster.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=config.run.name,
            storage_path=storage.root,
            storage_filesystem=storage.filesystem,
            failure_config=FailureConfig(max_failures=cluster.max_failures),
            checkpoint_config=CheckpointConfig(
                num_to_keep=config.training.keep_checkpoints,
                checkpoint_score_attribute=config.training.best_metric,
            ),
            callbacks=list(callbacks),
        ),
    )
    return trainer.fit()


class ControllerCallback(UserCallback):
    """Keeps the record of checkpoints safe, and tells the watch and whoever reads the queue what ended the workers.

    Checkpoints are stored beside the training, by Ray Train; a full disk there would end every start of the workers.
    """

    def __init__(self, run: Storage, watch: "ActorProxy[RunWatch]", queue: Queue | None) -> None:
        self._run = run
        self._watch = watch
        self._queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Called by Ray Train, in its controller."""
        keep_copy(self._run)

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called by Ray Train, in its controller."""
        self._watch.forget.remote()
        causes = {rank: last_line(error) for rank, error in worker_exceptions.items()}
        full = next((cause for cause in causes.values() if _NO_ROOM in cause), None)
        if full is not None:
            remedy = (
                "make room there or on the workers' disks, and start the same run again: it goes on from its newest"
            )
            ray.get(self._watch.end.remote(f"{full}, at run.output ({self._run.root}); {remedy} checkpoint"))
        if self._queue is not None:
            for rank, cause in causes.items():
                self._queue.put(("notice", f"rank {rank} ended: {cause}"))


def last_line(error: BaseException) -> str:
    """What went wrong in a worker, without the frames around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def newest_state(run: Storage) -> CheckpointState | None:
    """Where the run stands by its newest checkpoint; None without one."""
    checkpoint = newest_checkpoint(run)
    return read_state(checkpoint.read("state.json")) if checkpoint else None
