"""What of a run outlives its processes, independent of the number of ranks and of the ZeRO stage."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LossScaling:
    """Dynamic loss scaling of fp16: halved where gradients overflow, doubled after many steps without."""

    scale: float
    """What losses are multiplied by before the backward pass."""
    num_steps: int
    """Steps so far, skipped ones among them."""
    last_overflow: int
    """The newest step that was skipped, -1: none."""
    hysteresis: int
    """Overflows from here on until the scale is halved."""


@dataclass(frozen=True)
class OptimizerState:
    """AdamW's state: whole tensors by parameter name, float32, on the CPU."""

    num_steps: int
    """Updates so far; steps that were skipped do not count."""
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]
    loss_scaling: LossScaling | None = None
    """Of fp16."""
