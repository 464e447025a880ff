"""Several ranks compute what one computes, at every ZeRO stage; real processes over gloo, real DeepSpeed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from deepspeed.accelerator import get_accelerator

from raybind.config.train import TrainConfig
from raybind.errors import ConfigError
from raybind.integrations.deepspeed import DeepSpeedEngine
from raybind.modalities import modality_names
from raybind.model.bound import build_model
from raybind.objective.contrastive import contrastive_loss
from raybind.training.engine import TorchEngine
from tests.distributed import ranks

STAGES = (0, 1, 2, 3)
SMALL = {"video": {"num_frames": 4}, "audio": {"num_mel_bins": 112, "target_length": 196}}


def make_config(
    base_weights: Path,
    stage: int,
    world_size: int,
    grad_accum_steps: int = 1,
    dropout: float = 0,
    modality: str = "depth",
    **training: Any,
) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "run": {"name": "test"},
            "data": {"root": "none", "modality": modality, "preprocess": SMALL},
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
    """Against plain torch in one process on the whole batch at once."""
    settings = [(stage, parts) for stage in STAGES for parts in (1, 4)]
    configs = [make_config(base_weights, stage, world_size, parts) for stage, parts in settings]
    expected = {stage: ranks.exact_reference(make_config(base_weights, stage, 1), 10) for stage in (0, 3)}
    results = run_ranks(tmp_path, world_size, ranks.exact_run, configs, 10)
    for (stage, parts), found in zip(settings, results, strict=True):
        check_exact(found, expected[3 if stage == 3 else 0], f"{world_size} ranks, ZeRO stage {stage}, {parts} parts")


@pytest.mark.slow
def test_two_ranks_change_nothing_in_any_modality(base_weights: Path, tmp_path: Path) -> None:
    """At ZeRO stage 2. In float32, video's gradients have three times the error of the others', in the keys of the
    attention over frames."""
    modalities = sorted(set(modality_names()) - {"depth"})
    configs = [make_config(base_weights, 2, 2, modality=modality) for modality in modalities]
    results = run_ranks(tmp_path, 2, ranks.exact_run, configs, 10)
    for modality, config, found in zip(modalities, configs, results, strict=True):
        check_exact(found, ranks.exact_reference(config, 10), modality, 4e-6 if modality == "video" else 2e-6)


def check_exact(found: ranks.Trained, expected: ranks.Trained, setting: str, gradient_bound: float = 2e-6) -> None:
    """Compare tensor by tensor, relative to the norm of the expected one.

    The gradients' bound leaves room for float32's noise, which other inputs and processors change: one process is
    itself 1.5e-6 from the same model in float64 (audio 1.9e-6, video 4.7e-6), nearly always worst in LoRA's B, most of
    all of queries and keys.

    B starts at 0 and consists of AdamW's updates alone. The first one is of size lr whatever the gradient, noise
    included: a tenth of ten steps at the peak rate (1.1e-5 from float64), a fiftieth in the recipe's warm-up (2.7e-6).
    What does not start at 0 moves little there, so its change is compared too.
    """
    worst = {
        what: max((relative(tensors[name], others[name]), name) for name in others)
        for what, tensors, others in zip(ranks.Trained._fields, found, expected, strict=True)
    }
    print(f"{setting}: " + ", ".join(f"{what} {value:.1e} ({name})" for what, (value, name) in worst.items()))
    assert worst["gradients"][0] < gradient_bound, setting
    assert worst["parameters"][0] < 1e-5, setting
    assert worst["changes"][0] < 1e-3, setting


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


@pytest.mark.slow
def test_half_precision_goes_on_from_a_checkpoint_as_if_it_never_stopped(base_weights: Path, tmp_path: Path) -> None:
    """The float32 master is not rounded on the way; fp16 skips the steps in which gradients overflow, and says so."""
    settings = [(stage, precision) for stage in (2, 3) for precision in ("bf16", "fp16")]
    configs = [make_config(base_weights, stage, 2, precision=precision) for stage, precision in settings]
    results = run_ranks(tmp_path, 2, ranks.half_run, configs, 6, tmp_path)
    for setting, whole, resumed in zip(settings, results[::2], results[1::2], strict=True):
        scaling, num_steps = whole["state"].loss_scaling, whole["state"].num_steps
        print(setting, whole["losses"], num_steps, scaling)
        if setting[1] == "fp16":
            assert 0 < num_steps < scaling.num_steps == 6
            assert scaling.scale == ranks.FIRST_SCALE / 2 ** (6 - num_steps)
            assert scaling.last_overflow >= 0
            assert whole["losses"] == pytest.approx(losses_without(6 - num_steps, configs[0]), abs=5e-3), setting
        else:
            assert (num_steps, scaling) == (6, None)
        assert resumed["losses"] == whole["losses"], setting
        for name, value in whole["parameters"].items():
            assert torch.equal(resumed["parameters"][name], value), (setting, name)
            assert torch.equal(resumed["state"].exp_avg_sq[name], whole["state"].exp_avg_sq[name]), (setting, name)
        assert resumed["state"].num_steps == whole["state"].num_steps
        assert resumed["state"].loss_scaling == whole["state"].loss_scaling


def losses_without(num_skipped: int, config: TrainConfig) -> list[float]:
    """Of six steps in plain torch, of which the first do not update: AdamW corrects its moments from the others on."""
    engine = TorchEngine(build_model(config.model, seed=0)[0], config.optimizer)
    batches = [ranks.global_batch(step) for step in range(num_skipped)]
    with torch.no_grad():
        features = [engine(batch.pixel_values, batch.texts, batch.kept_BM) for batch in batches]
        losses = [float(contrastive_loss(*found, batches[0].valid_B)) for found in features]
    return losses + ranks.steps(engine, 0, 1, num_skipped, 6)


def test_fp16_is_refused_where_the_device_lacks_it(base_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_accelerator(), "is_fp16_supported", lambda: False)
    config = make_config(base_weights, 2, 1, precision="fp16")
    with pytest.raises(ConfigError, match=r"training\.precision=fp16: .* use training\.precision=bf16"):
        DeepSpeedEngine(build_model(config.model, seed=0)[0], config, ranks.share_of(config, 1))


@pytest.mark.slow
@pytest.mark.prove
def test_offload_changes_nothing(base_weights: Path, tmp_path: Path) -> None:
    """With a move to a fresh engine in the middle, and the temperature clamped."""
    settings = [(2, "none"), (2, "optimizer"), (3, "none"), (3, "optimizer"), (3, "parameters")]
    configs = [make_config(base_weights, stage, 2, offload=offload) for stage, offload in settings]
    runs = dict(zip(settings, run_ranks(tmp_path, 2, ranks.zero_run, configs, 6), strict=True))
    for (stage, offload), (losses, parameters) in runs.items():
        kept_losses, kept_parameters = runs[stage, "none"]
        worst = max(relative(parameters[name], kept_parameters[name]) for name in parameters)
        print(f"ZeRO stage {stage}, offload {offload}: {losses}, parameters {worst}")
        assert losses == pytest.approx(kept_losses, abs=1e-5)
        assert worst < 2e-3


@pytest.mark.slow
@pytest.mark.prove
def test_logit_scale_stays_within_its_bound_offloaded(base_weights: Path, tmp_path: Path) -> None:
    settings = [(1, "optimizer"), (2, "optimizer"), (3, "optimizer"), (3, "parameters")]
    configs = [make_config(base_weights, stage, 2, offload=offload) for stage, offload in settings]
    ends = run_ranks(tmp_path, 2, ranks.clamp_run, configs)
    assert ends == pytest.approx([4.60517, 100.0] * len(settings), rel=1e-5)
