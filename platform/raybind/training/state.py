"""What of a run outlives its processes, independent of the number of ranks and of the ZeRO stage."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class OptimizerState:
    """AdamW's state: whole tensors by parameter name, float32, on the CPU."""

    num_steps: int
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]
