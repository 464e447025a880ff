"""Loss, schedule, parameter groups and whole training steps against recordings of the official LanguageBind code."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from raybind.config.model import BaseConfig, ModelConfig
from raybind.config.train import OptimizerConfig
from raybind.model.architecture import read_architecture
from raybind.model.base import to_open_clip
from raybind.model.bound import MAX_LOGIT_SCALE, BoundModel, apply_tuning, build_model, trainable_parameters
from raybind.model.input_shape import InputShape
from raybind.objective.contrastive import contrastive_loss
from raybind.training.batch import Batch
from raybind.training.engine import TorchEngine
from raybind.training.optimizer import parameter_groups
from raybind.training.schedule import Schedule
from raybind.training.step import train_step
from tests.parity.recordings import FIXTURES as RECORDINGS
from tests.parity.recordings import MISSING, read_npz, read_weights, rename, write_architecture

FIXTURES = RECORDINGS / "train"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=MISSING)


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
    decaying, plain = parameter_groups(model, OptimizerConfig())
    assert [group["weight_decay"] for group in recorded] == [0.0, 0.2, 0.2]
    assert (plain["weight_decay"], len(plain["params"])) == (0.0, len(no_decay))
    assert (decaying["weight_decay"], len(decaying["params"])) == (0.2, len(projection) + 2 * 24 * 4)


@dataclass(frozen=True)
class Run:
    """A recorded run of the official training loop, with the model our configuration makes for it."""

    folder: Path
    model: BoundModel
    steps: dict[str, Tensor]
    info: dict[str, Any]
    config: OptimizerConfig

    def engine(self) -> TorchEngine:
        """The recorded model before its first step, under the recorded optimizer."""
        self.model.load_state_dict(read_weights(self.folder / "model_at_step0.safetensors"), strict=True)
        return TorchEngine(self.model, self.config)

    def batch(self, number: int, forward: int) -> Batch:
        """A recorded batch, with the patches that were kept in one of the forward passes over it."""
        pixels, ids = self.steps["images_f16_exact"][number].float(), self.steps["input_ids"][number].long()
        return Batch(pixels, ids, self.steps["kept_patch_indices"][forward].long(), torch.ones(len(ids)).bool())

    def lrs(self) -> list[float]:
        """What our schedule gives; checked to be what every group of the official optimizer had."""
        total = self.info["optimizer_steps"]
        schedule = Schedule(self.config.lr, warmup_steps=2, total_steps=total)
        lrs = [schedule.lr(step) for step in range(total)]
        np.testing.assert_array_equal(np.array(lrs)[:, None], np.unique(self.steps["lr_per_step_and_group"], axis=1))
        return lrs

    def check(self, name: str, found: dict[str, Tensor]) -> None:
        """Within 1e-4 of each recorded tensor's norm. The gradient of a key's bias is 0, so its values are noise."""
        recorded = read_weights(self.folder / f"{name}.safetensors")
        assert found.keys() == recorded.keys()
        for key in recorded:
            if not key.endswith("k_proj.bias"):
                error = (found[key] - recorded[key]).norm() / recorded[key].norm()
                assert error <= 1e-4, f"{name}, {key}: {error}"


def load_run(case: str, tmp_path: Path) -> Run:
    """Build the model of a recorded run from its base, by the configuration that stands for its switches."""
    folder = FIXTURES / f"steps_{case}"
    base = FIXTURES / "steps_depth" if case == "depth_accum2" else folder  # has the sizes; its own base is not recorded
    info = json.loads((folder / "info.json").read_text())
    switches = dict(itertools.pairwise(info["switches"]))
    architecture, weights = tmp_path / "base.json", tmp_path / "base.safetensors"
    base_config = json.loads((folder / "base_clip_config.json").read_text())
    write_architecture(base_config, architecture)
    save_file(to_open_clip(read_weights(base / "base_clip.safetensors")), weights)
    size, frames = base_config["vision_config"]["image_size"], int(switches["--num-frames"])
    mel, length = (int(switches.get(name, size)) for name in ("--num_mel_bins", "--target_length"))
    lora = {"rank": int(switches["--lora_r"]), "dropout": 0} if "--lora_r" in switches else {}
    config = ModelConfig.model_validate(
        {
            "base": {"architecture": str(architecture), "weights": str(weights)},
            "tuning": "lora" if lora else "attention",
            "lora": lora,
            "frame_class_tokens": switches["--clip-type"] == "vl_new",
        }
    )
    shape = InputShape(mel, length, frames if "--add-time-attn" in info["switches"] else None)
    model, _ = build_model(config, seed=0, shape=shape)
    lr = float(switches["--lr"])
    return Run(folder, model, read_npz(folder / "steps.npz"), info, OptimizerConfig(lr=lr))


ONE_PASS = ("depth", "audio", "video", "video_v15_no_lora")


@pytest.mark.parametrize("case", ONE_PASS)
def test_conversion_of_the_base(case: str, tmp_path: Path) -> None:
    """The model starts from its base as the official one did, but for what is random there."""
    run = load_run(case, tmp_path)
    recorded = read_weights(run.folder / "model_at_step0.safetensors")
    model = run.model.state_dict()
    assert model.keys() == recorded.keys()
    randomised = {rename(name) for name in run.info["tensors_randomised_after_build"]}
    for name in recorded:
        assert model[name].shape == recorded[name].shape
        if name not in randomised and "lora_" not in name and "temporal_embedding" not in name:
            torch.testing.assert_close(model[name], recorded[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", [*ONE_PASS, "depth_accum2"])
def test_groups_of_a_run(case: str, tmp_path: Path) -> None:
    run = load_run(case, tmp_path)
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    groups = parameter_groups(run.model, run.config)
    found = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    recorded = {rename(name): group["weight_decay"] for group in run.info["groups"] for name in group["parameters"]}
    assert found == recorded


@pytest.mark.parametrize("case", ONE_PASS)
def test_steps_of_a_run(case: str, tmp_path: Path) -> None:
    run = load_run(case, tmp_path)
    engine = run.engine()
    first = run.batch(0, 0)
    features = engine(first.pixel_values, first.texts, first.kept_BM)
    engine.backward(contrastive_loss(features.modality_BE, features.text_BE, features.scale, first.valid_B))
    run.check("grads_step0", gradients(run.model))
    run.model.zero_grad()
    for step, lr in enumerate(run.lrs()):
        result = train_step(engine, run.batch(step, step), lr)
        assert result.loss.item() == pytest.approx(run.info["loss"][step], abs=2e-6)
        assert result.grad_norm == pytest.approx(run.steps["grad_norm_per_step"][step].item(), rel=1e-4)
        if step == 0:
            run.check("params_after_step0", engine.parameters())
    run.check("params_after_last_step", engine.parameters())


def test_steps_of_a_run_with_accumulation(tmp_path: Path) -> None:
    """The official two passes: features without gradient, then each batch again, with fresh masks, beside the others'
    features; gradients add up over the losses.
    """
    run = load_run("depth_accum2", tmp_path)
    engine = run.engine()
    forwards = itertools.count()
    losses = iter(run.info["loss"])
    for step, lr in enumerate(run.lrs()):
        numbers = (2 * step, 2 * step + 1)
        with torch.no_grad():
            known = [engine(*inputs(run.batch(number, next(forwards)))) for number in numbers]
        for place, number in enumerate(numbers):
            features = engine(*inputs(run.batch(number, next(forwards))))
            everything = [features if other == place else known[other] for other in range(2)]
            modality, text = (torch.cat([part[kind] for part in everything]) for kind in (0, 1))
            loss = contrastive_loss(modality, text, features.scale, torch.ones(len(text)).bool())
            assert loss.item() == pytest.approx(next(losses), abs=2e-6)
            engine.backward(loss)
        if step == 0:
            run.check("grads_step0", gradients(run.model))
        assert engine.step(lr) == pytest.approx(run.steps["grad_norm_per_step"][step].item(), rel=1e-4)
        engine.clamp("logit_scale", 0.0, MAX_LOGIT_SCALE)
        if step == 0:
            run.check("params_after_step0", engine.parameters())
    run.check("params_after_last_step", engine.parameters())


def inputs(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    return batch.pixel_values, batch.texts, batch.kept_BM


def gradients(model: BoundModel) -> dict[str, Tensor]:
    found = {}
    for name, parameter in trainable_parameters(model).items():
        assert parameter.grad is not None, name
        found[name] = parameter.grad.clone()
    return found
