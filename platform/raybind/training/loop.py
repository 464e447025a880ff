"""The training loop: global batches from a cursor to the last step, with records and checkpoints on the way."""

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

import torch.distributed as dist

from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts, to_jsonl, together
from raybind.data.order import Batching, Cursor
from raybind.data.reader import Arrays, sample_ids
from raybind.errors import RankFailed, RayBindError
from raybind.training import checkpoint
from raybind.training.batch import Collator
from raybind.training.failures import EXPLAINED, explained
from raybind.training.ports import Engine, MetricSink, WorkerContext
from raybind.training.record import Record
from raybind.training.schedule import Schedule
from raybind.training.step import StepResult, train_step

T = TypeVar("T")

QUARANTINE = "quarantine.jsonl"
"""The samples that could not be read, kept with the run."""
NOT_FINITE = "not_finite.json"
"""The ids of a batch whose gradients are not finite, kept with the run."""
_NAMED_IDS = 8
"""In a message."""


@dataclass(frozen=True)
class Loop:
    """One rank's part of a run; every rank runs the same steps."""

    config: TrainConfig
    engine: Engine
    collate: Collator
    batches: Iterator[Arrays]
    """This rank's shares of the global batches from the first step on, without an end of epoch between them. Beside
    what `SampleReader.read_batch` returns, each carries `epoch` and `position` of its global batch."""
    batching: Batching
    num_parts: int
    """Parts in which this rank encodes its share of a batch."""
    schedule: Schedule
    context: WorkerContext
    sink: MetricSink
    base_fingerprint: str | None
    data_digest: str
    faults: FaultCounts
    """This rank's count of samples that could not be read; on rank 0 it begins with what a checkpoint has."""
    sample_log: TextIO | None = None
    """Where the ids of every step's samples go as they enter the encoder, one JSON line each."""
    validate: Callable[[], dict[str, float]] | None = None
    """Evaluates the model as it stands; a collective call."""

    def run(self, first_step: int = 0) -> None:
        """Train from `first_step` to the end of the schedule.

        Raises:
            TooManyBadSamples: above the configured rate.
            RayBindError: a gradient is not finite. Like the above on every rank in the same step.
            RankFailed: no memory or no disk left, on this rank.
            RuntimeError: this rank's batches do not come in the order of the epoch.
        """
        record = Record(self.config.training.global_batch_size, self.faults)
        batches = self._in_order(first_step)
        step = first_step
        try:
            for step in range(first_step, self.schedule.total_steps):
                self._step(step, batches, record)
        except EXPLAINED as error:
            cause = explained(error, self.config, self.context.rank, step)
            if cause is None:
                raise
            raise RankFailed(cause) from error
        self.sink.close()

    def _step(self, step: int, batches: Iterator[Arrays], record: Record) -> None:
        self.context.at(step, "waiting for data")
        arrays = record.waiting_for(batches)
        self._log_samples(step, arrays)
        self.context.at(step, "computing")
        lr = self.schedule.lr(step)
        result = train_step(self.engine, self.collate(arrays), lr, self.num_parts)
        if not math.isfinite(result.grad_norm) and not self._only_overflowed(result):
            self._stop_at(step, arrays, result)
        record.add(result, lr)
        done = step + 1
        last = done == self.schedule.total_steps
        leaving = False
        if last or done % self.config.training.log_every_steps == 0:
            self._log(done, record)
            leaving = self.context.must_leave()
        if last or leaving or done % self.config.training.checkpoint_every_steps == 0:
            self.context.at(step, "writing a checkpoint")
            with record.outside_of_steps("checkpoint"):
                folder = self._checkpoint(done)
            with record.outside_of_steps("validation"):
                validation = {} if leaving else self._validation(done)
            with record.outside_of_steps("checkpoint"):
                self.context.report({"step": done, **validation}, folder)

    def _in_order(self, first_step: int) -> Iterator[Arrays]:
        """The batches, each checked to belong to the step it is used in."""
        for step in range(first_step, self.schedule.total_steps):
            expected = self.batching.cursor_at(step)
            arrays = next(self.batches, None)
            if arrays is None:
                raise RuntimeError(f"the data ended before step {step} of {self.schedule.total_steps}")
            found = Cursor(int(arrays["epoch"][0]), int(arrays["position"][0]))
            if found != expected:
                raise RuntimeError(f"step {step} on rank {self.context.rank} got {found}, expected {expected}")
            yield arrays

    def _log_samples(self, step: int, arrays: Arrays) -> None:
        if self.sample_log is not None:
            self.sample_log.write(json.dumps({"step": step, "ids": sample_ids(arrays)}) + "\n")
            self.sample_log.flush()

    def _log(self, step: int, record: Record) -> None:
        """Every rank has the same numbers here, so that all of them stop where one must."""
        metrics = record.metrics(self.batching.cursor_at(step), self.batching)
        faults = _of_all_ranks(self.faults.without_list())
        metrics |= {
            "data/samples_read": float(faults.num_samples),
            "data/bad_samples": float(faults.causes.total()),
            "data/retries": float(faults.num_retries),
            **{f"data/bad/{cause}": float(count) for cause, count in faults.causes.items()},
        }
        if (scaling := self.engine.loss_scaling) is not None:
            metrics["train/loss_scale"] = scaling.scale
        if self.context.rank == 0:
            self.sink.log(step, metrics)
        faults.check(self.config.data.max_bad_sample_rate)

    def _only_overflowed(self, result: StepResult) -> bool:
        """Whether the scale of an fp16 loss was too large, which the engine has lowered; the same on every rank."""
        return self.engine.loss_scaling is not None and bool(result.loss.isfinite())

    def _stop_at(self, step: int, arrays: Arrays, result: StepResult) -> NoReturn:
        """Name the samples of a step that came to no finite gradient; a collective call."""
        ids = sample_ids(arrays)
        culprits = [name for name, finite in zip(ids, result.finite_B, strict=False) if not finite]
        batch = [name for names in _from_all_ranks(ids) for name in names]
        culprits = [name for names in _from_all_ranks(culprits) for name in names]
        if self.context.rank == 0:
            self.sink.write(NOT_FINITE, json.dumps({"step": step, "ids": batch, "not_finite": culprits}, indent=1))
        self.sink.close()
        whose = "the embeddings of" if culprits else "though all embeddings are, in the batch of"
        named = culprits or batch
        more = f" and {len(named) - _NAMED_IDS} more" if len(named) > _NAMED_IDS else ""
        raise RayBindError(
            f"the gradients of step {step} are not finite, {whose} {', '.join(named[:_NAMED_IDS])}{more} (all "
            f"are in the run's {NOT_FINITE}); look at these samples, lower optimizer.lr={self.config.optimizer.lr:g}, "
            "set optimizer.max_grad_norm, or use training.precision=fp32"
        )

    def _checkpoint(self, step: int) -> Path:
        """Write what a run goes on from. Returns: this rank's part of it."""
        folder = Path(tempfile.mkdtemp(prefix="raybind-checkpoint-"))
        parameters, optimizer = self.engine.parameters(), self.engine.optimizer_state()
        faults = _of_all_ranks(self.faults)
        if self.context.rank == 0:
            if faults.quarantine:
                self.sink.write(QUARANTINE, to_jsonl(faults.quarantine.values()))
            state = checkpoint.CheckpointState(
                step=step,
                cursor=self.batching.cursor_at(step),
                optimizer_steps=optimizer.num_steps,
                loss_scaling=optimizer.loss_scaling,
                base_fingerprint=self.base_fingerprint,
                data_digest=self.data_digest,
                faults=faults,
                config=self.config,
            )
            checkpoint.write_checkpoint(folder, state, parameters, optimizer)
        checkpoint.write_generator(folder, self.context.rank)
        return folder

    def _validation(self, step: int) -> dict[str, float]:
        if self.validate is None:
            return {}
        metrics = self.validate()
        if self.context.rank == 0:
            self.sink.log(step, metrics)
        best = self.config.training.best_metric
        if best is not None and best not in metrics:
            raise RayBindError(f"training.best_metric={best!r} is not among {', '.join(sorted(metrics))}")
        return metrics


def _of_all_ranks(faults: FaultCounts) -> FaultCounts:
    """The counts of all ranks together; a collective call."""
    return together(_from_all_ranks(faults))


def _from_all_ranks(mine: T) -> list[T]:
    """What every rank has, in the order of ranks; a collective call."""
    if not (dist.is_available() and dist.is_initialized()):
        return [mine]
    everyone = [mine] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    return everyone
