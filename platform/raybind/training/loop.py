"""The training loop: global batches from a cursor to the last step, with records and checkpoints on the way."""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
import torch.distributed as dist

from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts, to_jsonl, together
from raybind.data.order import Batching, Cursor
from raybind.data.reader import Arrays, bad_samples
from raybind.errors import RayBindError
from raybind.training import checkpoint
from raybind.training.batch import Collator
from raybind.training.ports import Engine, MetricSink, WorkerContext
from raybind.training.schedule import Schedule
from raybind.training.step import StepResult, train_step

QUARANTINE = "quarantine.jsonl"
"""The samples that could not be read, kept with the run."""


@dataclass(frozen=True)
class Loop:
    """One rank's part of a run; every rank runs the same steps."""

    config: TrainConfig
    engine: Engine
    collate: Collator
    batches: Iterator[Arrays]
    """This rank's micro-batches from the first step on, without an end of epoch between them. Beside what
    `SampleReader.read_micro_batch` returns, each carries `epoch` and `position` of its global batch."""
    batching: Batching
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
            RayBindError: the loss is not finite. Like the above on every rank in the same step.
            RuntimeError: this rank's batches do not come in the order of the epoch.
        """
        record = Record(self.config.training.global_batch_size, self.faults)
        batches = self._in_order(first_step)
        for step in range(first_step, self.schedule.total_steps):
            arrays = record.waiting_for(batches)
            self._log_samples(step, arrays)
            lr = self.schedule.lr(step)
            result = train_step(self.engine, self.collate(arrays), lr, self.config.training.grad_accum_steps)
            record.add(result, lr)
            done = step + 1
            last = done == self.schedule.total_steps
            if last or done % self.config.training.log_every_steps == 0:
                self._log(done, record)
            if last or done % self.config.training.checkpoint_every_steps == 0:
                self._checkpoint(done)
        self.sink.close()

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
            self.sample_log.write(json.dumps({"step": step, "ids": arrays["id"].tolist()}) + "\n")
            self.sample_log.flush()

    def _log(self, step: int, record: "Record") -> None:
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
        if not torch.tensor(metrics["train/loss"]).isfinite():
            raise RayBindError(f"the loss of step {step} is {metrics['train/loss']}; lower optimizer.lr or use fp32")
        if self.context.rank == 0:
            self.sink.log(step, metrics)
        faults.check(self.config.data.max_bad_sample_rate)

    def _checkpoint(self, step: int) -> None:
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
        validation = self.validate() if self.validate else {}
        if self.context.rank == 0 and validation:
            self.sink.log(step, validation)
        self.context.report({"step": step, **validation}, folder)


class Record:
    """Gathers what happens between two records of the metrics."""

    def __init__(self, global_batch_size: int, faults: FaultCounts) -> None:
        self._global_batch_size = global_batch_size
        self._faults = faults
        self._first_batch_seconds: float | None = None
        self._start()

    def _start(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0
        self._losses: list[torch.Tensor] = []

    def waiting_for(self, batches: Iterator[Arrays]) -> Arrays:
        """Take the next batch and count the time it took to come, of the first one apart."""
        began = time.perf_counter()
        arrays = next(batches)
        waited = time.perf_counter() - began
        if self._first_batch_seconds is None:
            # Readers start while the model is built; what is left of their start is no step's time.
            self._first_batch_seconds = waited
            self._start()
        else:
            self._waited += waited
        self._faults.add(len(arrays["number"]), bad_samples(arrays), int(arrays["retries"].sum()))
        return arrays

    def add(self, result: StepResult, lr: float) -> None:
        """Count a step."""
        self._losses.append(result.loss)
        self._last, self._lr = result, lr

    def metrics(self, cursor: Cursor, batching: Batching) -> dict[str, float]:
        """The metrics since the last call, means over steps and ranks; a collective call."""
        loss = torch.stack(self._losses).mean()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(loss)
            loss /= dist.get_world_size()
        seconds = time.perf_counter() - self._began
        steps = len(self._losses)
        metrics = {
            "train/loss": float(loss),
            "train/temperature": 1 / self._last.scale,
            "train/lr": self._lr,
            # A step that overflowed has none.
            **({"train/grad_norm": self._last.grad_norm} if math.isfinite(self._last.grad_norm) else {}),
            "train/epoch": cursor.epoch + cursor.position / (batching.steps_per_epoch * batching.global_batch_size),
            "time/step_seconds": seconds / steps,
            "time/samples_per_second": steps * self._global_batch_size / seconds,
            "time/data_wait_fraction": self._waited / seconds,
            "time/first_batch_seconds": self._first_batch_seconds or 0.0,
        }
        self._start()
        return metrics


def _of_all_ranks(faults: FaultCounts) -> FaultCounts:
    """The counts of all ranks together; a collective call."""
    if not (dist.is_available() and dist.is_initialized()):
        return faults
    everyone = [faults] * dist.get_world_size()
    dist.all_gather_object(everyone, faults)
    return together(everyone)
