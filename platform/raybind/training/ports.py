"""What the training loop asks of its surroundings. Each has a real adapter in `integrations` and a plain one here or in
the tests, so the same loop runs under Ray and DeepSpeed or alone.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from raybind.model.bound import Features
from raybind.training.state import LossScaling, OptimizerState


class WorkerContext(Protocol):
    """The process the loop runs in."""

    rank: int
    world_size: int
    device: torch.device

    def at(self, step: int, phase: str) -> None:
        """Tell where this rank stands; one that stands too long is taken for hung."""
        ...

    def must_leave(self) -> bool:
        """Whether a machine of the run has been given notice since the last call; a collective call."""
        ...

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Hand in a checkpoint folder, or nothing; every rank calls it equally often."""
        ...

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The newest complete checkpoint as a local folder, or None at a fresh start."""
        ...


class Engine(Protocol):
    """The model under an optimizer, whatever partitions them."""

    @property
    def loss_scaling(self) -> LossScaling | None:
        """As the next step begins; None where losses are not scaled."""
        ...

    def __call__(self, pixel_values: Tensor, texts: Tensor, kept: Tensor | None) -> Features:
        """Run the model's forward pass."""
        ...

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Unit-norm embeddings without masking, dropout or gradients; every rank calls it equally often."""
        ...

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Unit-norm text embeddings without gradients; every rank calls it equally often."""
        ...

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add to the gradients; after the last of a step's calls they are averaged over ranks."""
        ...

    def step(self, lr: float) -> float:
        """Update the parameters and clear the gradients; where fp16 gradients overflowed, nothing is updated.

        Returns: the global gradient norm before clipping, the same on every rank; infinite where a gradient is not.
        """
        ...

    def clamp(self, name: str, low: float, high: float) -> None:
        """Keep a parameter within bounds, in every copy the optimizer owns."""
        ...

    def parameters(self) -> dict[str, Tensor]:
        """Whole trainable parameters in float32 on the CPU; a collective call, the same on every rank."""
        ...

    def optimizer_state(self) -> OptimizerState:
        """Whole optimizer state in float32 on the CPU; a collective call, the same on every rank."""
        ...

    def load_optimizer_state(self, state: OptimizerState) -> None:
        """Continue from a state saved by any engine on any number of ranks."""
        ...


class MetricSink(Protocol):
    """Where metrics go; only rank 0 has a real one."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of a step; never blocks training for long and never raises for a tracker that is away."""
        ...

    def write(self, name: str, text: str) -> None:
        """Keep a text file with the run, in the place of an earlier one of this name; as patient as `log`."""
        ...

    def close(self) -> None:
        """Hand over what is still waiting."""
        ...
