"""Presets, overrides and the messages for wrong ones."""

from pathlib import Path

import pytest

from raybind.config.base import flatten, load_config
from raybind.config.train import TrainConfig
from raybind.errors import ConfigError

PRESET = """
run: {name: test}
data: {root: shards, modality: depth}
schedule: {warmup_steps: 200}
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "preset.yaml"
    path.write_text(PRESET)
    return path


def test_overrides_reach_any_key(preset: Path) -> None:
    config = load_config(TrainConfig, preset, ["model.lora.rank=4", "optimizer.lr=1e-4", "data.root=s3://a/b"])
    assert (config.model.lora.rank, config.optimizer.lr, config.data.root) == (4, 1e-4, "s3://a/b")
    assert flatten(config)["model.lora.rank"] == 4
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


def test_defaults_are_the_papers_depth_column(preset: Path) -> None:
    flat = flatten(load_config(TrainConfig, preset))
    expected = {
        "model.base.architecture": "ViT-L-14",
        "model.lora.rank": 2,
        "model.lora.alpha": 16,
        "model.lora.dropout": 0.1,
        "model.mask_ratio": 0.5,
        "model.temperature.learnable": True,
        "optimizer.lr": 5e-4,
        "optimizer.betas": [0.9, 0.98],
        "optimizer.weight_decay": 0.2,
        "training.global_batch_size": 1024,
        "schedule.epochs": 1,
        "schedule.warmup_steps": 200,
    }
    assert {key: flat[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.lora.rnk=4",
            r"model.lora.rnk: unknown key; did you mean 'rank'\? Known .*: alpha, dropout, rank",
        ),
        ("model.lora.rank=0", "model.lora.rank=0: .*greater than or equal to 1"),
        ("model.lora.rank=two", "model.lora.rank='two': .*integer"),
        ("training.zero_stage=4", "training.zero_stage=4: .*0, 1, 2 or 3"),
        ("cluster.num_workers=3", "global_batch_size=1024 does not divide by cluster.num_workers=3.* 1023 and 1026"),
        ("schedule.warmup_samples=100", "warmup_steps=200 and schedule.warmup_samples=100: set exactly one"),
        ("model.lora", "'model.lora' is not of the form section.key=value"),
        ("run.name.first=1", "run.name.first: 'name' holds the value 'test'"),
        ("training.zero_stage=0", "training.precision=bf16 with training.zero_stage=0"),
        (
            "training.offload=parameters",
            r"training\.offload=parameters .* training\.zero_stage=2 .*; use training\.zero_stage=3",
        ),
    ],
)
def test_errors_name_key_value_and_remedy(preset: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(TrainConfig, preset, [override])


def test_every_problem_is_named_at_once(preset: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, preset, ["model.lora.rank=0", "optimizer.lr=-1", "data.rot=x"])
    assert all(key in str(caught.value) for key in ("model.lora.rank", "optimizer.lr", "data.rot"))


def test_a_preset_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(TrainConfig, tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_config(TrainConfig, tmp_path / "list.yaml")
