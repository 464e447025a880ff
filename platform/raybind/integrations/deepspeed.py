"""The engine port on DeepSpeed ZeRO, stages 0 to 3.

ZeRO owns copies of what it trains (a flat float32 master at stages 1 and 2, partitions at stage 3), so parameters and
moments are read and written through DeepSpeed's `safe_get_full_*` and `safe_set_full_*`, which are collective calls.
At stage 0 (float32 only) DeepSpeed steps torch's own optimizer, and there are no copies.
"""

import logging
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
import torch.nn.functional as F
from deepspeed.accelerator import get_accelerator
from deepspeed.utils import (
    logger,
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_get_local_fp32_param,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)
from torch import Tensor, nn

from raybind.config.train import TrainConfig
from raybind.errors import ConfigError
from raybind.model.bound import BoundModel, Features, trainable_parameters
from raybind.training.optimizer import make_optimizer
from raybind.training.state import LossScaling, OptimizerState

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedEngine:
    """`training.ports.Engine` over `deepspeed.initialize`; torch.distributed must be initialised."""

    def __init__(self, model: BoundModel, config: TrainConfig) -> None:
        logger.setLevel(logging.ERROR)
        self._stage = config.training.zero_stage
        self._dtype = DTYPES[config.training.precision]
        _check_fp16(config)
        self._torch_optimizer = make_optimizer(model, config.optimizer)
        self._logit_scale_at_start = model.logit_scale.detach().clone()
        exact = {name: value.detach().float().clone() for name, value in trainable_parameters(model).items()}
        # Any: DeepSpeed's annotations name every optimizer it might have made.
        self._engine: Any = deepspeed.initialize(
            model=model, optimizer=self._torch_optimizer, config=_deepspeed_config(config)
        )[0]
        self._plain = self._stage == 0
        self._num_steps = 0
        if not self._plain:
            self._allocate_moments()
        if self._dtype != torch.float32:
            # DeepSpeed makes its float32 master of weights that it has rounded to 16 bits.
            for name, parameter in self._named().items():
                self._set_full(parameter, exact[name])

    @property
    def loss_scaling(self) -> LossScaling | None:
        """See `Engine`."""
        if self._dtype != torch.float16:
            return None
        scaler = self._engine.optimizer.loss_scaler
        return LossScaling(scaler.cur_scale, scaler.cur_iter, scaler.last_overflow_iter, scaler.cur_hysteresis)

    def __call__(self, pixel_values: Tensor, texts: Tensor, kept: Tensor | None) -> Features:
        """See `Engine`."""
        features = self._engine(pixel_values.to(self._dtype), texts, kept)
        # In bfloat16 neighbouring temperatures lie 1 % apart: the value is the optimizer's float32, the gradient the
        # model's.
        exact = self._logit_scale().to(features.scale.device).exp()
        return features._replace(scale=features.scale * (exact / features.scale).detach())

    def encode(self, pixel_values: Tensor) -> Tensor:
        """See `Engine`."""
        return self._without_training(self._engine.module.encoder, pixel_values.to(self._dtype))

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """See `Engine`."""
        return self._without_training(self._engine.module.language, input_ids)

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """See `Engine`."""
        self._engine.backward(loss, scale_wrt_gas=False)
        if not last:
            # It counts the parts of a step here, and updates nothing yet.
            self._engine.step()

    def step(self, lr: float) -> float:
        """See `Engine`."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr * group["lr_coefficient"]
        self._engine.step()
        if self._plain or not self._engine.optimizer.overflow:
            self._num_steps += 1
        return float(self._engine.get_global_grad_norm() or 0.0)

    def clamp(self, name: str, low: float, high: float) -> None:
        """See `Engine`."""
        parameter = self._named().get(name)
        if parameter is None:
            return
        value = self._full(parameter)
        if bool(((value < low) | (value > high)).any()):
            self._set_full(parameter, value.clamp(low, high))

    def parameters(self) -> dict[str, Tensor]:
        """See `Engine`."""
        return {name: self._full(parameter).cpu().clone() for name, parameter in self._named().items()}

    def optimizer_state(self) -> OptimizerState:
        """See `Engine`."""
        first, second = (
            {name: self._moment(parameter, kind).float().cpu().clone() for name, parameter in self._named().items()}
            for kind in MOMENTS
        )
        return OptimizerState(self._num_steps, first, second, self.loss_scaling)

    def load_optimizer_state(self, state: OptimizerState) -> None:
        """See `Engine`."""
        self._num_steps = state.num_steps
        if self._dtype == torch.float16 and state.loss_scaling is not None:
            self._load_loss_scaling(state.loss_scaling)
        for moments in self._engine.optimizer.optimizer.state.values() if not self._plain else ():
            moments["step"].fill_(state.num_steps)
        for name, parameter in self._named().items():
            moments = {"exp_avg": state.exp_avg[name], "exp_avg_sq": state.exp_avg_sq[name]}
            if self._plain:
                on_device = {kind: value.to(parameter) for kind, value in moments.items()}
                self._torch_optimizer.state[parameter] = {"step": torch.tensor(float(state.num_steps)), **on_device}
                continue
            for kind, value in moments.items():
                if self._stage == 3:
                    safe_set_local_optimizer_state(parameter, _partition(parameter, value), kind)
                else:
                    safe_set_full_optimizer_state(parameter, value, kind)

    def _load_loss_scaling(self, scaling: LossScaling) -> None:
        scaler = self._engine.optimizer.loss_scaler
        scaler.cur_scale, scaler.cur_iter = scaling.scale, scaling.num_steps
        scaler.last_overflow_iter, scaler.cur_hysteresis = scaling.last_overflow, scaling.hysteresis

    def _allocate_moments(self) -> None:
        """Make the flat moments before the first step makes them.

        There must be something to load into; and stages 1 and 2 link parameters to moments when the first parameter
        group has stepped, which leaves the other groups without (DeepSpeed 0.19.8, `_optimizer_step`).
        """
        zero = self._engine.optimizer
        flats = zero.fp32_partitioned_groups_flat if self._stage == 3 else zero.single_partition_of_fp32_groups
        for flat in flats:
            moments = {kind: torch.zeros_like(flat) for kind in MOMENTS}
            zero.optimizer.state[flat] = {"step": torch.tensor(0.0), **moments}
        if self._stage < 3:
            zero._lazy_init_hp_params_optimizer_state()

    def _logit_scale(self) -> Tensor:
        parameter = self._engine.module.logit_scale
        return self._full(parameter) if parameter.requires_grad else self._logit_scale_at_start

    def _full(self, parameter: nn.Parameter) -> Tensor:
        if self._plain:
            return parameter.detach().float()
        value = safe_get_full_fp32_param(parameter)
        assert value is not None
        return value.detach()

    def _set_full(self, parameter: nn.Parameter, value: Tensor) -> None:
        if self._plain:
            parameter.data.copy_(value)
            return
        if self._stage == 3:
            part = _partition(parameter, value)
            safe_set_local_fp32_param(parameter, part)
            parameter.ds_tensor.data.copy_(part)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            safe_set_full_fp32_param(parameter, value)
        # The forward pass reads the model's own copy, which DeepSpeed refreshes only in its own step; at stage 3 small
        # parameters stay whole between steps, larger ones are empty until they are gathered.
        if parameter.numel() == value.numel():
            parameter.data.copy_(value)

    def _moment(self, parameter: nn.Parameter, kind: str) -> Tensor:
        if self._plain:
            return self._torch_optimizer.state[parameter][kind]
        value = safe_get_full_optimizer_state(parameter, kind)
        assert value is not None
        return value

    @torch.no_grad()
    def _without_training(self, tower: nn.Module, inputs: Tensor) -> Tensor:
        tower.eval()
        embeddings = tower(inputs)
        tower.train()
        return embeddings

    def _named(self) -> dict[str, nn.Parameter]:
        return trainable_parameters(self._engine.module)


def _partition(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """This rank's part of a whole tensor at stage 3, padded as ZeRO pads.

    DeepSpeed's own `safe_set_full_*` fail on the last rank where the ranks do not divide the tensor (0.19.8).
    """
    local = safe_get_local_fp32_param(parameter)
    assert local is not None
    size = local.numel()
    padded = F.pad(value.flatten(), (0, size * dist.get_world_size() - value.numel()))
    return padded.narrow(0, size * dist.get_rank(), size).to(local)


def _check_fp16(config: TrainConfig) -> None:
    accelerator = get_accelerator()
    assert accelerator is not None
    if config.training.precision == "fp16" and not accelerator.is_fp16_supported():
        raise ConfigError(
            f"training.precision=fp16: the workers' {accelerator.device_name()} has no instructions for it; "
            "use training.precision=bf16"
        )


def _deepspeed_config(config: TrainConfig) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.training.grad_accum_steps,
        "gradient_clipping": config.optimizer.max_grad_norm or 0.0,
        "zero_optimization": {"stage": config.training.zero_stage, **_offloads(config)},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": config.training.precision == "bf16"},
        "fp16": {"enabled": config.training.precision == "fp16"},
    }


def _offloads(config: TrainConfig) -> dict[str, Any]:
    parts = {"none": (), "optimizer": ("optimizer",), "parameters": ("optimizer", "param")}
    return {f"offload_{part}": {"device": "cpu"} for part in parts[config.training.offload]}
