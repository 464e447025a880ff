"""LoRA in one pass over the base's output computes what peft's three passes compute."""

from collections.abc import Callable

import peft
import pytest
import torch
from torch import nn

from raybind.model.lora import inject_lora

RANK, ALPHA = 4, 10
"""Scaled by 2.5, which rounds."""

Found = dict[str, torch.Tensor]


def ours(model: nn.Module, dropout: float) -> None:
    inject_lora(model, RANK, ALPHA, dropout, ["layer"])


def peft_s(model: nn.Module, dropout: float) -> None:
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=dropout, target_modules=["layer"])
    peft.inject_adapter_in_model(config, model)


def found(inject: Callable[[nn.Module, float], None], dtype: torch.dtype, dropout: float, asking: int) -> Found:
    """Output and gradients; the first `asking` tokens are a part of a larger tensor, as in the last block."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"layer": nn.Linear(48, 32)})
    inject(model, dropout)
    nn.init.normal_(model.get_parameter("layer.lora_B.default.weight"))
    model.to(dtype)
    x = torch.randn(3, 5, 48).to(dtype).requires_grad_()
    out = model["layer"](x[:, :asking])
    out.backward(torch.randn_like(out))
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert set(gradients) == {f"layer.lora_{part}.default.weight" for part in "AB"}
    assert x.grad is not None
    return {"out": out.detach(), "x": x.grad, **gradients}


def distance(one: Found, other: Found) -> Found:
    return {name: (one[name].double() - value.double()).norm() / value.double().norm() for name, value in other.items()}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("asking", [1, 5])
def test_values_and_gradients_are_peft_s(dropout: float, asking: int) -> None:
    one, other = (found(inject, torch.float32, dropout, asking) for inject in (ours, peft_s))
    assert max(distance(one, other).values()) < 1e-6


def test_bfloat16_is_no_further_from_float32() -> None:
    exact = found(peft_s, torch.float32, 0.0, 5)
    one, other = (distance(found(inject, torch.bfloat16, 0.0, 5), exact) for inject in (ours, peft_s))
    for name, error in one.items():
        assert error <= 1.02 * other[name], name
