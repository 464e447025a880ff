"""The order in which an epoch visits its samples, and the cursor that names a place in it.

The order is a pure function of (shard sizes, seed, epoch): shards are shuffled, then cut into windows of
`window_shards`, and the samples of a window are shuffled together. Samples of one window therefore mix completely,
and nothing needs more than a window of shards at hand.

How well it mixes: with shards of one size, every sample is over epochs equally likely at every place, as in a whole
shuffle (a small shard among large ones is not quite). What a window costs is seen within one epoch: samples that follow
each other come from the same shard with the chance (S - 1) / (W S - 1) for windows of W shards of S samples, 1 in 64 by
default, and samples of shards in different windows are never neighbours. With fewer shards than a window it is a whole
shuffle.

A run cuts the order into whole global batches; the samples left
over at the end of an epoch (fewer than one global batch, others each epoch) are not visited in that epoch.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Cursor:
    """Where a run stands: `position` samples of epoch `epoch` have been trained on."""

    epoch: int = 0
    position: int = 0


class Share(NamedTuple):
    """How much of a global batch each rank gets; where the ranks do not divide it, the last rows are padding."""

    size: int
    """Rows, padding included; the same for all ranks."""
    num_parts: int
    """Equal parts in which a rank encodes them."""


@dataclass(frozen=True)
class Batching:
    """How the epoch order is cut into global batches."""

    num_samples: int
    global_batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch."""
        return self.num_samples // self.global_batch_size

    def cursor_at(self, step: int) -> Cursor:
        """Where a run stands after `step` optimizer steps."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        return Cursor(epoch, batch * self.global_batch_size)

    def share(self, world_size: int, micro_batch_size: int) -> "Share":
        """One rank's part of a global batch, no more than `micro_batch_size` samples of it at a time."""
        num_parts = math.ceil(self.global_batch_size / (world_size * micro_batch_size))
        return Share(num_parts * math.ceil(self.global_batch_size / (world_size * num_parts)), num_parts)

    def step_at(self, cursor: Cursor) -> int:
        """The inverse of `cursor_at`."""
        return cursor.epoch * self.steps_per_epoch + cursor.position // self.global_batch_size


@lru_cache(maxsize=2)
def epoch_order(shard_sizes: tuple[int, ...], seed: int, epoch: int, window_shards: int) -> np.ndarray:
    """The sample numbers of a split in the order of an epoch.

    Args:
        shard_sizes: samples per shard.
        window_shards: shards whose samples are shuffled together.
    Returns: (sum(shard_sizes),) int64, a permutation; read-only, since it is shared between calls.
    """
    generator = np.random.default_rng((seed, epoch))
    bounds = [0, *itertools.accumulate(shard_sizes)]
    shards = generator.permutation(len(shard_sizes))
    windows = []
    for start in range(0, len(shards), window_shards):
        ranges = [np.arange(bounds[s], bounds[s + 1]) for s in shards[start : start + window_shards]]
        windows.append(generator.permutation(np.concatenate(ranges)))
    order = np.concatenate(windows) if windows else np.empty(0, dtype=np.int64)
    order.setflags(write=False)
    return order


def sample_generator(seed: int, epoch: int, sample: int, purpose: str) -> np.random.Generator:
    """The generator of everything random about one sample in one epoch, for one purpose ("mask", "text", ...).

    It depends on nothing else, so neither the reader nor the rank nor the batch a sample lands in changes its draws.
    """
    return np.random.default_rng((seed, epoch, sample, *purpose.encode()))
