"""Learning-rate coefficients act, and CLIP4Clip trains as Table 12 has it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from raybind.config.base import validate
from raybind.config.model import ModelConfig
from raybind.config.train import OptimizerConfig, TrainConfig
from raybind.errors import ConfigError
from raybind.model.bound import BoundModel, build_model
from raybind.model.input_shape import InputShape
from raybind.training.batch import Batch
from raybind.training.engine import TorchEngine
from raybind.training.optimizer import parameter_groups
from raybind.training.step import train_step

LR = 1e-2


def build(weights: Path, shape: InputShape | None = None, **changes: object) -> BoundModel:
    base = {"architecture": "ViT-Tiny-14", "weights": str(weights)}
    return build_model(ModelConfig.model_validate({"base": base, **changes}), seed=0, shape=shape)[0]


def largest_moves(model: BoundModel, config: OptimizerConfig, num_frames: int | None = None) -> dict[str, float]:
    """How far the values of each parameter go in one step."""
    generator = torch.Generator().manual_seed(0)
    frames = () if num_frames is None else (num_frames,)
    pixels = torch.randn(4, 3, *frames, 112, 112, generator=generator)
    ids = torch.randint(1, 4000, (4, 8), generator=generator)
    ids[:, -1] = 4095
    engine = TorchEngine(model, config)
    before = engine.parameters()
    train_step(engine, Batch(pixels, ids, None, torch.ones(4, dtype=torch.bool)), LR)
    return {name: float((value - before[name]).abs().max()) for name, value in engine.parameters().items()}


def test_the_coefficient_slows_everything_but_lora(base_weights: Path) -> None:
    config = OptimizerConfig(pretrained_lr_coefficient=1e-3, weight_decay=0)
    for name, move in largest_moves(build(base_weights), config).items():
        if "lora_A" in name:  # B starts at 0, so A has no gradient yet
            assert move == 0
        else:
            expected = LR if "lora_B" in name else LR * 1e-3
            assert move == pytest.approx(expected, rel=0.02), name


def test_a_coefficient_of_1_makes_no_groups_of_its_own(base_weights: Path) -> None:
    decaying, plain = parameter_groups(build(base_weights), OptimizerConfig())
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.2, 0.0)
    assert decaying["lr_coefficient"] == plain["lr_coefficient"] == 1


def test_class_tokens_of_frames_do_not_decay(base_weights: Path) -> None:
    model = build(base_weights, InputShape(112, 112, 4), frame_class_tokens=True)
    _, plain = parameter_groups(model, OptimizerConfig())
    assert any(parameter is model.encoder.vision.class_embedding for parameter in plain["params"])


def test_clip4clip_trains_both_towers_slowly(base_weights: Path) -> None:
    model = build(
        base_weights,
        InputShape(112, 112, 3),
        tuning="full",
        temporal_attention=False,
        train_language=True,
        context_length=32,
        mask_ratio=0,
    )
    moves = largest_moves(model, OptimizerConfig(pretrained_lr_coefficient=1e-3, weight_decay=0), num_frames=3)
    assert {name.split(".")[0] for name in moves} == {"encoder", "language", "logit_scale"}
    assert 0 < max(moves.values()) <= LR * 1e-3 * 1.02


@pytest.mark.parametrize("changes", [{"tuning": "scratch"}, {"base": {"weights": None}}])
def test_a_coefficient_without_pretrained_weights_is_an_error(changes: dict[str, Any]) -> None:
    settings = {
        "run": {"name": "test"},
        "data": {"root": "none", "modality": "depth"},
        "model": {"tuning": "full", "train_language": True, **changes},
        "schedule": {"warmup_steps": 0},
    }
    validate(TrainConfig, settings)
    with pytest.raises(ConfigError, match=r"pretrained_lr_coefficient=0\.001 slows down what starts pretrained"):
        validate(TrainConfig, {**settings, "optimizer": {"pretrained_lr_coefficient": 1e-3}})
