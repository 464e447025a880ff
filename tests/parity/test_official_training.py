"""Loss, schedule and parameter groups against recordings of the official LanguageBind code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from raybind.config.model import BaseConfig, ModelConfig
from raybind.model.architecture import read_architecture
from raybind.model.bound import BoundModel, apply_tuning
from raybind.objective.contrastive import contrastive_loss
from raybind.training.optimizer import parameter_groups
from raybind.training.schedule import Schedule

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "train"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"official recordings are not at {FIXTURES}")


def test_loss_and_gradients() -> None:
    recorded = np.load(FIXTURES / "clip_loss_batch16.npz")
    image, text = (torch.from_numpy(recorded[f"{name}_features_f32"]).requires_grad_() for name in ("image", "text"))
    scale = torch.tensor([float(recorded["logit_scale_exp_f32"])], requires_grad=True)
    loss = contrastive_loss(image, text, scale, torch.ones(16, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(float(recorded["loss_f32"]), abs=1e-6)
    for tensor, name in ((image, "image_features"), (text, "text_features"), (scale, "logit_scale_exp")):
        expected = torch.from_numpy(np.atleast_1d(recorded[f"grad_{name}_f32"]))
        assert tensor.grad is not None
        assert (tensor.grad - expected).norm() <= 1e-4 * expected.norm()


def test_schedule_exactly() -> None:
    recorded = np.load(FIXTURES / "cosine_lr_warmup200_total2950_base5e-4.npz")
    schedule = Schedule(peak_lr=5e-4, warmup_steps=200, total_steps=2950)
    np.testing.assert_array_equal([schedule.lr(int(step)) for step in recorded["step"]], recorded["lr"])


def test_which_parameters_train_and_decay() -> None:
    """Counts and decay of the published depth recipe, at ViT-L/14."""
    recorded = json.loads((FIXTURES / "param_groups.json").read_text())["depth"]["groups"]
    no_decay, projection, _ = ([*group["parameters"]] for group in recorded)
    with torch.device("meta"):
        model = BoundModel(read_architecture("ViT-L-14"))
        apply_tuning(model, ModelConfig(base=BaseConfig(weights="laion2b_s32b_b82k")))
    decaying, plain = parameter_groups(model, 0.2)
    assert [group["weight_decay"] for group in recorded] == [0.0, 0.2, 0.2]
    assert (plain["weight_decay"], len(plain["params"])) == (0.0, len(no_decay))
    assert (decaying["weight_decay"], len(decaying["params"])) == (0.2, len(projection) + 2 * 24 * 4)
