"""Every preset is a valid configuration, and those of the paper have the values of its Table 12."""

from pathlib import Path

import pytest

from raybind.config.base import load_config
from raybind.config.train import TrainConfig

PRESETS = Path(__file__).resolve().parents[3] / "jobs" / "presets"


def load(name: str) -> TrainConfig:
    return load_config(TrainConfig, str(PRESETS / f"{name}.yaml"), [])


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_a_preset_is_valid(name: str) -> None:
    assert load(name).run.name


@pytest.mark.parametrize(
    ("name", "lr", "epochs", "batch", "warmup", "mask_ratio", "rank", "dropout"),
    [
        ("video", 1e-4, 16, 640, 2000, 0.3, 16, 0.0),
        ("infrared", 1e-4, 1, 1024, 200, 0.5, 2, 0.1),
        ("depth", 5e-4, 1, 1024, 200, 0.5, 2, 0.1),
        ("audio", 5e-4, 8, 512, 2000, 0.3, 16, 0.1),
        ("clip4clip", 1e-4, 1, 512, 0, 0.0, None, None),
    ],
)
def test_table_12(
    name: str,
    lr: float,
    epochs: int,
    batch: int,
    warmup: int,
    mask_ratio: float,
    rank: int | None,
    dropout: float | None,
) -> None:
    config = load(name)
    assert (config.optimizer.lr, config.schedule.epochs, config.schedule.warmup_steps) == (lr, epochs, warmup)
    assert (config.training.global_batch_size, config.model.mask_ratio) == (batch, mask_ratio)
    assert (config.optimizer.betas, config.optimizer.weight_decay) == ((0.9, 0.98), 0.2)
    assert config.model.temperature.learnable
    if rank is not None:
        assert config.model.tuning == "lora"
        assert (config.model.lora.rank, config.model.lora.alpha, config.model.lora.dropout) == (rank, 16, dropout)
