"""The engine of a bare torch machine: one process, or several under torch.distributed without partitioning."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from raybind.config.train import OptimizerConfig
from raybind.model.bound import BoundModel, Features, trainable_parameters
from raybind.training.optimizer import make_optimizer
from raybind.training.state import OptimizerState


class TorchEngine:
    """`training.ports.Engine` in plain torch; gradients are averaged over ranks by all-reduce."""

    loss_scaling = None

    def __init__(self, model: BoundModel, config: OptimizerConfig) -> None:
        self.model = model
        self._optimizer = make_optimizer(model, config)
        self._max_grad_norm = config.max_grad_norm
        self._num_steps = 0

    def __call__(self, pixel_values: Tensor, texts: Tensor, kept: Tensor | None) -> Features:
        """See `Engine`."""
        return self.model(pixel_values, texts, kept)

    def encode(self, pixel_values: Tensor) -> Tensor:
        """See `Engine`."""
        return self._without_training(self.model.encoder, pixel_values)

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """See `Engine`."""
        return self._without_training(self.model.language, input_ids)

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """See `Engine`."""
        loss.backward()
        if last and dist.is_available() and dist.is_initialized():
            for parameter in self._named().values():
                assert parameter.grad is not None
                dist.all_reduce(parameter.grad, op=dist.ReduceOp.SUM)
                parameter.grad /= dist.get_world_size()

    def step(self, lr: float) -> float:
        """See `Engine`."""
        norm = torch.nn.utils.clip_grad_norm_(self._named().values(), self._max_grad_norm or float("inf"))
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["lr_coefficient"]
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._num_steps += 1
        return float(norm)

    def clamp(self, name: str, low: float, high: float) -> None:
        """See `Engine`."""
        with torch.no_grad():
            self.model.get_parameter(name).clamp_(low, high)

    def parameters(self) -> dict[str, Tensor]:
        """See `Engine`."""
        return {name: parameter.detach().float().cpu().clone() for name, parameter in self._named().items()}

    def optimizer_state(self) -> OptimizerState:
        """See `Engine`."""
        moments = {name: self._optimizer.state[parameter] for name, parameter in self._named().items()}
        return OptimizerState(
            self._num_steps,
            {name: values["exp_avg"].float().cpu().clone() for name, values in moments.items()},
            {name: values["exp_avg_sq"].float().cpu().clone() for name, values in moments.items()},
        )

    def load_optimizer_state(self, state: OptimizerState) -> None:
        """See `Engine`."""
        self._num_steps = state.num_steps
        for name, parameter in self._named().items():
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(state.num_steps)),
                "exp_avg": state.exp_avg[name].to(parameter),
                "exp_avg_sq": state.exp_avg_sq[name].to(parameter),
            }

    @torch.no_grad()
    def _without_training(self, tower: nn.Module, inputs: Tensor) -> Tensor:
        tower.eval()
        embeddings = tower(inputs)
        tower.train()
        return embeddings

    def _named(self) -> dict[str, torch.nn.Parameter]:
        return trainable_parameters(self.model)
