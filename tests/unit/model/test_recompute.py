"""Blocks that are computed again in the backward pass give the values and gradients of blocks that are kept."""

from pathlib import Path

import pytest
import torch

from raybind.config.model import ModelConfig
from raybind.model.bound import BoundModel, build_model
from raybind.model.input_shape import InputShape
from raybind.model.transformer import Mlp

CLIP = InputShape(num_frames=2, height=112, width=112)


def make_model(weights: Path, shape: InputShape | None) -> BoundModel:
    config = ModelConfig.model_validate(
        {
            "base": {"architecture": "ViT-Tiny-14", "weights": str(weights)},
            "temporal_attention": shape is not None,
            "lora": {"rank": 4, "dropout": 0.1},
        }
    )
    return build_model(config, seed=0, shape=shape, with_language=False)[0].train()


@pytest.mark.parametrize("shape", [None, CLIP], ids=["image", "clip"])
def test_the_same_to_the_bit(shape: InputShape | None, base_weights: Path) -> None:
    results = []
    for recompute in (False, True):
        model = make_model(base_weights, shape)
        model.encoder.vision.recompute_blocks = recompute
        calls = []
        for module in model.modules():
            if isinstance(module, Mlp):
                module.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        pixels = torch.randn(3, *model.encoder.vision.input.array, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        out = model.encoder(pixels)
        out[:, 0].sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append((out.detach(), gradients, torch.get_rng_state()))
        num_blocks = len(model.encoder.vision.layers)
        assert len(calls) == num_blocks * (2 if recompute else 1)
        calls.clear()
        with torch.no_grad():
            model.encoder(pixels)
        assert len(calls) == num_blocks
    torch.testing.assert_close(*results, atol=0, rtol=0)
