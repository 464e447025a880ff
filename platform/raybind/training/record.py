"""The metrics of a run: loss, rates and times between two records."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from raybind.data.faults import FaultCounts
from raybind.data.order import Batching, Cursor
from raybind.data.reader import Arrays, bad_samples, sample_ids
from raybind.training.step import StepResult


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
        self._outside: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def outside_of_steps(self, what: str) -> Iterator[None]:
        """Time spent in the block counts as `time/<what>_seconds`, not as a step's."""
        began = time.perf_counter()
        yield
        self._outside[f"time/{what}_seconds"] += time.perf_counter() - began

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
        self._faults.add(len(sample_ids(arrays)), bad_samples(arrays), int(arrays["retries"].sum()))
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
        seconds = time.perf_counter() - self._began - sum(self._outside.values())
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
            **self._outside,
        }
        self._start()
        return metrics
