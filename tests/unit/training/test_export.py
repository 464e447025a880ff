"""A checkpoint of a run becomes a directory that stands alone and embeds what the trained model embeds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import raybind
from raybind.app import export
from raybind.config.base import validate
from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts
from raybind.data.order import Cursor
from raybind.model.bound import BoundModel, trainable_parameters
from raybind.training.checkpoint import CheckpointState, write_checkpoint
from raybind.training.state import OptimizerState
from raybind.training.task import starting_model


@pytest.fixture
def trained(base_weights: Path, tmp_path: Path) -> tuple[Path, BoundModel]:
    """A depth encoder with LoRA that is not zero, as a checkpoint."""
    values = {
        "run": {"name": "depth-run"},
        "data": {"root": "data", "modality": "depth", "preprocess": {"depth": {"max_metres": 5}}},
        "model": {"base": {"architecture": "ViT-Tiny-14", "weights": str(base_weights)}, "lora": {"rank": 2}},
        "schedule": {"warmup_steps": 0},
    }
    config = validate(TrainConfig, values)
    model, fingerprint = starting_model(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable_parameters(model).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    state = CheckpointState(
        step=7,
        cursor=Cursor(),
        optimizer_steps=7,
        base_fingerprint=fingerprint,
        data_digest="",
        faults=FaultCounts(),
        config=config,
    )
    parameters = {name: value.detach() for name, value in trainable_parameters(model).items()}
    folder = tmp_path / "step-7"
    folder.mkdir()
    write_checkpoint(folder, state, parameters, OptimizerState(7, {}, {}))
    return folder, model.eval()


@pytest.mark.parametrize("layout", ["raybind", "languagebind", "hugging_face"])
def test_every_format_embeds_as_the_trained_model(
    layout: str, trained: tuple[Path, BoundModel], base_weights: Path, tmp_path: Path
) -> None:
    checkpoint, model = trained
    output = tmp_path / "out"
    assert export.main([f"checkpoint={checkpoint}", f"format={layout}", f"output={output}"]) == 0
    pixels = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    loaded = raybind.LanguageBind.from_pretrained(output, device="cpu")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode("depth", pixels), model.encoder(pixels), atol=1e-5, rtol=0)
    for file in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        assert (output / file).is_file()

    record = json.loads((output / "raybind.json").read_text())
    assert record["provenance"]["run"] == "depth-run"
    assert record["provenance"]["step"] == "7"
    assert record["provenance"]["base_weights"] == str(base_weights)
    assert len(record["provenance"]["base_fingerprint"]) == 64
    assert "a depth photo of a {}." in record["prompts"]


def test_the_preprocessing_goes_with_it(trained: tuple[Path, BoundModel], tmp_path: Path) -> None:
    """At most 5 m: 6 m is the same as 5 m, and not the same as 4 m."""
    assert export.main([f"checkpoint={trained[0]}", f"output={tmp_path}/out"]) == 0
    model = raybind.LanguageBind.from_pretrained(tmp_path / "out", device="cpu")
    walls = [np.full((112, 112), metres * 1000, np.uint16) for metres in (6, 5, 4)]
    far, limit, near = model.embed(depth=walls)["depth"]
    assert torch.equal(far, limit)
    assert not torch.allclose(limit, near)


def test_the_official_layout_keeps_lora_beside_the_weights(trained: tuple[Path, BoundModel], tmp_path: Path) -> None:
    assert export.main([f"checkpoint={trained[0]}", "format=languagebind", f"output={tmp_path}/out"]) == 0
    names = load_file(tmp_path / "out" / "model.safetensors").keys()
    assert sum(".lora_A.default.weight" in name for name in names) == 6 * 4
    vision = json.loads((tmp_path / "out" / "config.json").read_text())["vision_config"]
    assert (vision["lora_r"], vision["max_depth"], vision["image_size"]) == (2, 5, 112)
