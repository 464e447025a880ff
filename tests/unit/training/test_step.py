"""A step in parts: the whole batch's gradients, with the random draws of the first pass again in the second."""

from pathlib import Path
from typing import Any

import pytest
import torch

from raybind.config.base import validate
from raybind.config.model import ModelConfig
from raybind.config.train import OptimizerConfig, TrainConfig
from raybind.errors import ConfigError
from raybind.model.bound import build_model
from raybind.objective.contrastive import contrastive_loss
from raybind.training.batch import Batch
from raybind.training.engine import TorchEngine
from raybind.training.step import train_step

NUM_PARTS = 3


def make_engine(weights: Path, **changes: Any) -> TorchEngine:
    base = {"architecture": "ViT-Tiny-14", "weights": str(weights)}
    config = ModelConfig.model_validate({"base": base, **changes})
    return TorchEngine(build_model(config, seed=0)[0].train(), OptimizerConfig())


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 4000, (6, 8), generator=generator)
    ids[:, -1] = 4095
    valid = torch.tensor([True, True, True, False, True, True])
    return Batch(torch.randn(6, 3, 112, 112, generator=generator), ids, None, valid)


def gradients_in_one_graph(engine: TorchEngine, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
    """Every part's activations are kept until the loss of the whole batch is there."""
    torch.manual_seed(seed)
    found = [engine(part.pixel_values, part.texts, part.kept_BM) for part in batch.split(NUM_PARTS)]
    modality, text = (torch.cat(parts) for parts in ([f.modality_BE for f in found], [f.text_BE for f in found]))
    contrastive_loss(modality, text, found[0].scale, batch.valid_B).backward()
    return {n: p.grad.clone() for n, p in engine.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "changes",
    [{"lora": {"rank": 4, "dropout": 0.5}}, {"tuning": "full", "train_language": True}],
    ids=["dropout", "language"],
)
def test_parts_give_the_gradients_of_the_whole(changes: dict[str, Any], base_weights: Path) -> None:
    expected = gradients_in_one_graph(make_engine(base_weights, **changes), make_batch(), seed=5)
    engine = make_engine(base_weights, **changes)
    torch.manual_seed(5)
    train_step(engine, make_batch(), 1e-3, NUM_PARTS)
    moments = engine.optimizer_state().exp_avg
    assert moments.keys() == expected.keys()
    for name, gradient in expected.items():
        # The first moments are a tenth of the first gradients.
        torch.testing.assert_close(10 * moments[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


def test_the_draws_matter_to_the_gradients(base_weights: Path) -> None:
    changes = {"lora": {"rank": 4, "dropout": 0.5}}
    one, other = (gradients_in_one_graph(make_engine(base_weights, **changes), make_batch(), seed) for seed in (5, 6))
    assert any((one[name] - other[name]).norm() > 0.1 * one[name].norm() for name in one if "lora_B" in name)


def test_parts_that_do_not_divide_a_worker_s_share_are_refused() -> None:
    given = {
        "run": {"name": "a"},
        "data": {"root": "r", "modality": "depth"},
        "schedule": {"warmup_steps": 0},
        "training": {"global_batch_size": 24, "grad_accum_steps": 5},
        "cluster": {"num_workers": 2},
    }
    with pytest.raises(ConfigError, match=r"grad_accum_steps=5 does not divide the 12 samples .* that does: 4"):
        validate(TrainConfig, given)
