"""Directories and training checkpoints of the official LanguageBind code, in and out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import raybind
from raybind.config.model import BaseConfig, ModelConfig
from raybind.errors import ConfigError
from raybind.model.bound import build_model
from raybind.model.languagebind import LanguageBindModel, join
from raybind.model.layouts import read_encoder, write_encoder
from tests.parity.recordings import FIXTURES, MISSING, read_npz, write_architecture

MODELS, TRAIN = FIXTURES / "models", FIXTURES / "train"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=MISSING)

DIRECTORIES = {
    "image": "image",
    "depth": "depth",
    "thermal": "infrared",
    "audio": "audio",
    "video": "video",
    "video_v15_ft": "video",
    "image_ft": "image",
    "audio_ft": "audio",
    "video_ft": "video",
}
NEWER_PEFT = "depth_peft_base_layer_naming"


def read_inputs(name: str) -> tuple[Tensor, Tensor, Tensor]:
    folder = next(f for f in (MODELS / name, MODELS / name.partition("_")[0]) if (f / "pixel_values.npy").exists())
    pixels, ids, mask = (np.load(folder / f"{part}.npy") for part in ("pixel_values", "input_ids", "attention_mask"))
    return torch.from_numpy(pixels), torch.from_numpy(ids), torch.from_numpy(mask)


def outputs_of(name: str) -> dict[str, Tensor]:
    return read_npz(MODELS / ("depth" if name == NEWER_PEFT else name) / "outputs.npz")


@pytest.mark.parametrize("name", [*DIRECTORIES, NEWER_PEFT])
def test_embeddings_of_a_directory(name: str) -> None:
    model = raybind.LanguageBind.from_pretrained(MODELS / name, device="cpu")
    (modality,), (pixels, ids, mask) = model.modalities, read_inputs(name)
    assert modality == DIRECTORIES.get(name, "depth")
    found, texts, recorded = model.encode(modality, pixels), model.encode_text(ids, mask), outputs_of(name)
    torch.testing.assert_close(found, recorded["image_embeds"], atol=1e-5, rtol=0)
    torch.testing.assert_close(texts, recorded["text_embeds"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_survives_the_round_trip(name: str, tmp_path: Path) -> None:
    """Official to ours to official: every tensor the same to the bit, and the keys those that the classes expect."""
    write_encoder(read_encoder(MODELS / name), "raybind", tmp_path / "ours")
    write_encoder(read_encoder(tmp_path / "ours"), "languagebind", tmp_path / "official")
    theirs, back = (load_file(folder / "model.safetensors") for folder in (MODELS / name, tmp_path / "official"))
    keys = [line.split("\t") for line in (MODELS / name / "keys.txt").read_text().splitlines()]
    assert {key: str(tuple(back[key].shape)) for key in back} == {key: shape for key, shape, _ in keys}
    assert all(torch.equal(back[key], theirs[key]) and back[key].dtype == theirs[key].dtype for key in theirs)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_the_configuration_survives_the_round_trip(name: str, tmp_path: Path) -> None:
    """All fields that decide what the official classes compute; force_patch_dropout acts in training only."""
    encoder = read_encoder(MODELS / name)
    write_encoder(encoder, "languagebind", tmp_path / "official")
    theirs, ours = (json.loads((f / "config.json").read_text()) for f in (MODELS / name, tmp_path / "official"))
    assert isinstance(ours["vision_config"]["image_size"], int)
    resized = {"image_size"} if encoder.modality == "audio" else set()  # the class builds the table at any square size
    for section in ("text_config", "vision_config"):
        shared = ours[section].keys() & theirs[section].keys() - {"force_patch_dropout", "model_type", *resized}
        assert {key: ours[section][key] for key in shared} == {key: theirs[section][key] for key in shared}
    own = {"max_depth", "clip_type", "tube_size", "audio_mean", "audio_std", "audio_sample_rate", "lora_alpha"}
    assert own & theirs["vision_config"].keys() <= ours["vision_config"].keys()
    assert (ours["projection_dim"], ours["model_type"]) == (theirs["projection_dim"], theirs["model_type"])
    (tmp_path / "official" / "raybind.json").unlink()
    again = read_encoder(tmp_path / "official")
    assert (again.arch.vision, again.arch.text, again.lora) == (encoder.arch.vision, encoder.arch.text, encoder.lora)
    assert again.preprocess == encoder.preprocess


def test_newer_peft_names_are_the_same_model() -> None:
    newer, older = read_encoder(MODELS / NEWER_PEFT), read_encoder(MODELS / "depth")
    assert newer.state.keys() == older.state.keys()
    assert all(torch.equal(newer.state[name], older.state[name]) for name in older.state)


def test_pytorch_model_bin_where_there_is_no_safetensors(tmp_path: Path) -> None:
    for file in ("config.json", "pytorch_model.bin"):
        shutil.copy(MODELS / "image" / file, tmp_path)
    found, expected = read_encoder(tmp_path), read_encoder(MODELS / "image")
    assert all(torch.equal(found.state[name], expected.state[name]) for name in expected.state)


def test_five_modalities_with_and_without_temperature() -> None:
    """The official wrapper takes the text tower of whichever directory comes last: depth, in this recording."""
    recorded = read_npz(FIXTURES / "wrapper_outputs.npz")
    encoders = {name: read_encoder(MODELS / name) for name in ("video", "audio", "thermal", "image", "depth")}
    built = {encoder.modality: encoder.build() for encoder in encoders.values()}
    model = LanguageBindModel(
        {modality: bound.encoder for modality, bound in built.items()},
        built["depth"].language,
        {modality: bound.logit_scale for modality, bound in built.items()},
    )
    for name, encoder in encoders.items():
        with torch.inference_mode():
            embedded = model.encode(encoder.modality, read_inputs(name)[0])
        torch.testing.assert_close(embedded, recorded[f"{name}_no_temp"], atol=1e-5, rtol=0)
        scaled = embedded * model.scale(encoder.modality)
        torch.testing.assert_close(scaled, recorded[f"{name}_with_temp"], atol=1e-5 * scaled.abs().max().item(), rtol=0)
    texts = model.encode_text(read_inputs("depth")[1])
    torch.testing.assert_close(texts, recorded["language_no_temp"], atol=1e-5, rtol=0)


def test_directories_of_different_text_towers_are_not_one_space() -> None:
    with pytest.raises(ConfigError, match="image and depth encoders are bound to different language encoders"):
        join([read_encoder(MODELS / "image"), read_encoder(MODELS / "depth")])


@pytest.mark.parametrize("case", ["depth", "video", "video_v15_no_lora", "audio"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_training_checkpoints(case: str, prefix: str, tmp_path: Path) -> None:
    """`epoch_N.pt` beside the configuration of the CLIP model it started from."""
    folder, modality = TRAIN / f"steps_{case}", case.partition("_")[0]
    tensors = load_file(folder / "model_at_step0.safetensors")
    config = json.loads((folder / "base_clip_config.json").read_text())
    if modality == "audio":
        config["vision_config"] |= {"num_mel_bins": 28, "target_length": 70}
    (tmp_path / "config.json").write_text(json.dumps(config))
    saved = {"epoch": 1, "name": "run", "state_dict": {f"{prefix}{k}": v for k, v in tensors.items()}, "optimizer": {}}
    torch.save(saved, tmp_path / "epoch_1.pt")
    encoder = read_encoder(tmp_path / "epoch_1.pt", modality)
    assert encoder.build().arch.vision.temporal_attention == (modality == "video")
    write_encoder(encoder, "languagebind", tmp_path / "official")
    back = load_file(tmp_path / "official" / "model.safetensors")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[key], tensors[key]) for key in tensors)
    with pytest.raises(ConfigError, match="does not say what it encodes"):
        raybind.LanguageBind.from_pretrained(tmp_path / "epoch_1.pt")


def test_missing_and_unexpected_tensors_are_listed_by_their_official_names(tmp_path: Path) -> None:
    shutil.copy(MODELS / "depth" / "config.json", tmp_path)
    tensors = load_file(MODELS / "depth" / "model.safetensors")
    lost = next(name for name in tensors if "layers.1.self_attn.v_proj.lora_B" in name)
    tensors["vision_model.extra"] = tensors.pop(lost)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError) as raised:
        read_encoder(tmp_path)
    assert "unexpected vision_model.extra" in str(raised.value)
    assert "missing vision_model.encoder.layers.1.self_attn.v_proj.lora_B.default.weight" in str(raised.value)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_damaged_file_is_named(file: str, tmp_path: Path) -> None:
    shutil.copy(MODELS / "image" / "config.json", tmp_path)
    raw = (MODELS / "image" / file).read_bytes()
    for damaged in (b"", raw[: len(raw) // 2], b"<html>not found</html>", bytes(1000)):
        (tmp_path / file).write_bytes(damaged)
        with pytest.raises(ConfigError, match=file):
            read_encoder(tmp_path)


def test_the_official_image_model_is_a_base_with_its_lora_merged(tmp_path: Path) -> None:
    write_architecture(json.loads((MODELS / "image" / "config.json").read_text()), tmp_path / "sizes.json")
    base = BaseConfig(architecture=str(tmp_path / "sizes.json"), weights=str(MODELS / "image"))
    model, _ = build_model(ModelConfig(base=base, tuning="full"), seed=0)
    with torch.inference_mode():
        found = model.eval().encoder(read_inputs("image")[0])
    torch.testing.assert_close(found, outputs_of("image")["image_embeds"], atol=1e-5, rtol=0)
    other = base.model_copy(update={"weights": str(MODELS / "depth")})
    with pytest.raises(ConfigError, match="a base is clip or LanguageBindImage"):
        build_model(ModelConfig(base=other, tuning="full"), seed=0)
