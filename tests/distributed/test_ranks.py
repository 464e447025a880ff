"""Several ranks compute what one computes, at every ZeRO stage; real processes over gloo, real DeepSpeed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

from raybind.config.train import TrainConfig
from tests.distributed import ranks

STAGES = (0, 1, 2, 3)


def make_config(
    base_weights: Path, stage: int, world_size: int, grad_accum_steps: int = 1, dropout: float = 0, **training: Any
) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "run": {"name": "test"},
            "data": {"root": "none", "modality": "depth"},
            "model": {
                "base": {"architecture": "ViT-Tiny-14", "weights": str(base_weights)},
                "lora": {"rank": 4, "dropout": dropout},
            },
            "optimizer": {"pretrained_lr_coefficient": 0.5},
            "schedule": {"warmup_steps": 0},
            "training": {
                "global_batch_size": ranks.GLOBAL_BATCH,
                "grad_accum_steps": grad_accum_steps,
                "precision": "fp32",
                "zero_stage": stage,
                **training,
            },
            "cluster": {"num_workers": world_size},
        }
    )


def run_ranks(tmp_path: Path, world_size: int, work: Callable[..., Any], *arguments: Any) -> Any:
    rendezvous = tmp_path / "rendezvous"
    mp.spawn(ranks.start, (world_size, rendezvous, work, arguments), nprocs=world_size)
    return torch.load(f"{rendezvous}.result", weights_only=False)


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


def test_loss_and_gradient_over_two_ranks(tmp_path: Path) -> None:
    expected = ranks.loss_run(0, 1)
    found = run_ranks(tmp_path, 2, ranks.loss_run)
    assert relative(found["loss"], expected["loss"]) < 1e-6
    assert relative(found["gradient"], expected["gradient"]) < 1e-6


@pytest.mark.slow
def test_every_zero_stage_gives_the_loss_curve_of_one_process(base_weights: Path, tmp_path: Path) -> None:
    """20 steps, two ranks, with a move to a fresh engine in the middle; against plain torch in one process."""
    losses, parameters = ranks.reference(make_config(base_weights, 0, 1), 20)
    configs = [make_config(base_weights, stage, 2) for stage in STAGES]
    for stage, (stage_losses, stage_parameters) in zip(
        STAGES, run_ranks(tmp_path, 2, ranks.zero_run, configs, 20), strict=True
    ):
        assert stage_losses == pytest.approx(losses, abs=1e-5), f"ZeRO stage {stage}"
        encoded = stage_parameters.pop("encoded")
        assert encoded.norm(dim=1) == pytest.approx(torch.ones(ranks.GLOBAL_BATCH // 2).numpy(), abs=1e-5)
        assert stage_parameters.keys() == parameters.keys()
        worst = max(relative(stage_parameters[name], parameters[name]) for name in parameters)
        assert worst < 2e-3, f"ZeRO stage {stage}: {worst}"


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2, pytest.param(4, marks=pytest.mark.prove)])
def test_ranks_stages_and_accumulation_change_nothing(world_size: int, base_weights: Path, tmp_path: Path) -> None:
    """Gradients of the first step and parameters after ten, against plain torch in one process on the whole batch."""
    gradients, parameters = ranks.exact_reference(make_config(base_weights, 0, 1), 10)
    settings = [(stage, parts) for stage in STAGES for parts in (1, 4)]
    configs = [make_config(base_weights, stage, world_size, parts) for stage, parts in settings]
    for setting, found in zip(settings, run_ranks(tmp_path, world_size, ranks.exact_run, configs, 10), strict=True):
        worst = [
            max((relative(tensors[name], expected[name]), name) for name in expected)
            for tensors, expected in zip(found, (gradients, parameters), strict=True)
        ]
        print(f"{world_size} ranks, ZeRO stage {setting[0]}, {setting[1]} parts: {worst}")
        assert worst[0][0] < 2e-6, setting
        assert worst[1][0] < 5e-5, setting


@pytest.mark.slow
def test_logit_scale_stays_within_its_bound_at_every_stage(base_weights: Path, tmp_path: Path) -> None:
    configs = [make_config(base_weights, stage, 2) for stage in STAGES]
    ends = run_ranks(tmp_path, 2, ranks.clamp_run, configs)
    assert ends == pytest.approx([4.60517, 100.0] * len(STAGES), rel=1e-5)


@pytest.mark.slow
def test_what_is_computed_again_in_the_backward_pass_is_whole_at_stage_3(base_weights: Path, tmp_path: Path) -> None:
    """LoRA's A behind its dropout, and whole blocks; parameters are empty outside of the modules that use them."""
    settings = [(0, False), (3, False), (3, True)]
    configs = [make_config(base_weights, stage, 2, 2, 0.1, activation_checkpointing=on) for stage, on in settings]
    (losses, parameters), kept, again = run_ranks(tmp_path, 2, ranks.recomputing_run, configs, 3)
    assert kept[0] == pytest.approx(losses, abs=1e-5)
    assert max(relative(kept[1][name], parameters[name]) for name in parameters) < 2e-3
    assert again[0] == kept[0]
    assert all(torch.equal(again[1][name], kept[1][name]) for name in parameters)
