"""LoRA on the attention projections of a modality encoder, by peft (LanguageBind, Eq. (2) and Table 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from raybind.errors import ConfigError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def adapted_layers(encoder: nn.Module, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers whose names end as the targets say, by name, in the order of the module tree.

    Raises: ConfigError: a target that names no linear layer.
    """
    linear = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    missing = [target for target in targets if not any(_is(name, target) for name in linear)]
    if missing:
        endings = sorted({".".join(name.split(".")[-2:]) for name in linear})
        raise ConfigError(
            f"model.lora.targets names {', '.join(missing)}; the encoder's linear layers end in {', '.join(endings)}"
        )
    return {name: module for name, module in linear.items() if any(_is(name, target) for target in targets)}


def inject_lora(encoder: nn.Module, rank: int, alpha: int, dropout: float, targets: Sequence[str]) -> None:
    """Replace the target linear layers by `W x + b + (alpha / rank) B A x`, in place; every other parameter freezes.

    Args:
        encoder: the model to change; its weights must be loaded before.
        rank: r of Eq. (2).
        alpha: the update is scaled by alpha / rank.
        dropout: probability on the input of A.
        targets: names of the linear layers, as they end in the module tree.
    Raises: ConfigError: a target that names no linear layer.
    """
    layers = list(adapted_layers(encoder, targets))
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
    config._register_custom_module({nn.Linear: _LoraLinear})
    inject_adapter_in_model(config, encoder)


def merged(state: Mapping[str, Tensor], rank: int, alpha: int) -> dict[str, Tensor]:
    """Tensors of a model with LoRA as those of the plain model that computes the same: W + alpha / rank * B A."""
    plain = {}
    for name, value in state.items():
        if ".lora_" in name:
            continue
        linear, adapted, kind = name.rpartition(".base_layer.")
        if adapted and kind == "weight":
            a, b = (state[f"{linear}.lora_{part}.default.weight"] for part in "AB")
            value = value + alpha / rank * (b @ a)
        plain[name.replace(".base_layer.", ".")] = value
    return plain


class _LoraLinear(Linear):
    """peft's layer with one adapter that is always on, in fewer passes over what it reads and writes.

    Legend: N rows, K in_features, R rank, O out_features.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        ((adapter, dropout),) = self.lora_dropout.items()
        a, b = self.lora_A[adapter], self.lora_B[adapter]
        assert isinstance(a, nn.Linear)
        assert isinstance(b, nn.Linear)
        self.lora_B[adapter] = _AddedLinear(b, self.scaling[adapter])
        if isinstance(dropout, nn.Dropout):
            self.lora_A[adapter] = _DroppedLinear(a, dropout.p)
            self.lora_dropout[adapter] = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (adapter,) = self.active_adapters
        x_NK = x.flatten(0, -2)
        return self.lora_B[adapter](self.lora_A[adapter](x_NK), self.base_layer(x_NK)).unflatten(0, x.shape[:-1])


class _AddedLinear(nn.Linear):
    """LoRA's B, which adds its scaled product to the base's output as it computes it.

    Product, scaling and sum apart, as in peft, are three passes over the output. Not in place: at ZeRO stage 3 what a
    module returns is a view of its own.
    """

    def __init__(self, linear: nn.Linear, scaling: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.scaling = scaling

    def forward(self, input: Tensor, base_NO: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.addmm(base_NO, input, self.weight.T, alpha=self.scaling)


class _DroppedLinear(nn.Linear):
    """LoRA's A with the dropout before it, which keeps x for the backward pass and draws and drops a second time there.

    Kept instead, masks and dropped inputs are two of every five bytes of an encoder's activations. Values and draws are
    those of peft's own dropout.
    """

    def __init__(self, linear: nn.Linear, dropout: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight = linear.weight
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and self.weight.requires_grad):
            return super().forward(input)
        return checkpoint(self._drop_and_apply, input, use_reentrant=False)  # pyright: ignore[reportReturnType]

    def _drop_and_apply(self, x: Tensor) -> Tensor:
        return F.linear(F.dropout(x, self.dropout), self.weight)


def _is(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
