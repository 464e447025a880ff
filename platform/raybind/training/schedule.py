"""The learning rate of each step: linear warm-up, then half a cosine down to 0 (Table 12; official scheduler)."""

import math
from dataclasses import dataclass

from raybind.config.train import TrainConfig
from raybind.data.order import Batching
from raybind.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Steps are counted from 0."""

    peak_lr: float
    warmup_steps: int
    total_steps: int

    def lr(self, step: int) -> float:
        """The learning rate used by step `step`."""
        if step < self.warmup_steps:
            return self.peak_lr * (step + 1) / self.warmup_steps
        angle = math.pi * (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(angle)) * self.peak_lr


def make_schedule(config: TrainConfig, batching: Batching) -> Schedule:
    """Resolve epochs, samples and steps into one schedule.

    Raises: ConfigError: no whole global batch in the data, or warm-up as long as the run.
    """
    if batching.steps_per_epoch == 0:
        raise ConfigError(
            f"training.global_batch_size={batching.global_batch_size} is more than the {batching.num_samples} samples "
            f"of split {config.data.train_split!r}; lower it"
        )
    schedule = config.schedule
    total_steps = schedule.epochs * batching.steps_per_epoch
    if schedule.max_steps is not None:
        total_steps = min(total_steps, schedule.max_steps)
    if schedule.warmup_steps is not None:
        warmup_steps = schedule.warmup_steps
    else:
        assert schedule.warmup_samples is not None
        warmup_steps = math.ceil(schedule.warmup_samples / batching.global_batch_size)
    if warmup_steps >= total_steps:
        raise ConfigError(
            f"warm-up takes {warmup_steps} steps, but the run has only {total_steps} "
            f"({schedule.epochs} epochs of {batching.steps_per_epoch}); lower schedule.warmup_steps or train longer"
        )
    return Schedule(config.optimizer.lr, warmup_steps, total_steps)
