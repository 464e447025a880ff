"""Exported directories: they stand alone, other libraries load them, and what they cannot hold is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from raybind.config.model import LoraConfig
from raybind.errors import ConfigError
from raybind.modalities import get_modality
from raybind.model.architecture import read_architecture
from raybind.model.base import load_base
from raybind.model.layouts import read_encoder, write_encoder
from raybind.model.tokenizer import Tokenizer
from raybind.model.trained import TrainedEncoder
from tests.encoders import SHAPES, TINY, make_encoder

TEXTS = ["a cat", "two dogs on a big red chair & nothing else"]


def embed(encoder: TrainedEncoder) -> torch.Tensor:
    pixels = torch.randn(2, *encoder.arch.vision.input.array, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        return encoder.build().encoder(pixels)


@pytest.mark.parametrize("modality", SHAPES)
@pytest.mark.parametrize("layout", ["raybind", "languagebind"])
def test_nothing_is_lost(modality: str, layout: str, base_weights: Path, tmp_path: Path) -> None:
    encoder = make_encoder(base_weights, modality)
    write_encoder(encoder, layout, tmp_path)
    again = read_encoder(tmp_path)
    assert all(torch.equal(again.state[name], value) for name, value in encoder.state.items())
    for part in ("modality", "arch", "lora", "preprocess", "prompts", "provenance"):
        assert getattr(again, part) == getattr(encoder, part)


@pytest.mark.parametrize("modality", ["image", "depth"])
def test_transformers_computes_the_same_embeddings(modality: str, base_weights: Path, tmp_path: Path) -> None:
    encoder = make_encoder(base_weights, modality)
    write_encoder(encoder, "hugging_face", tmp_path)
    theirs, report = transformers.CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    pixels = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    tokens = transformers.CLIPTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = theirs.eval()(pixel_values=pixels, **tokens)
        texts = encoder.build().language(torch.from_numpy(Tokenizer(4096, 77)(TEXTS)))
    torch.testing.assert_close(found.image_embeds, embed(encoder), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.text_embeds, texts, atol=1e-5, rtol=0)
    torch.testing.assert_close(embed(read_encoder(tmp_path)), embed(encoder), atol=1e-5, rtol=0)
    assert read_encoder(tmp_path).modality == modality


def test_transformers_tokenizes_and_prepares_pictures_alike(base_weights: Path, tmp_path: Path) -> None:
    encoder = make_encoder(base_weights)
    write_encoder(encoder, "hugging_face", tmp_path)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    ids = np.array(tokenizer(TEXTS, padding="max_length", max_length=77)["input_ids"])
    ours = Tokenizer(4096, 77)(TEXTS)
    np.testing.assert_array_equal(np.where(ours == 0, 4095, ours), ids)
    smooth = np.linspace(0, 255, 150 * 200 * 3).reshape(150, 200, 3).astype(np.uint8)
    processor = transformers.CLIPImageProcessor.from_pretrained(tmp_path)
    theirs = processor(Image.fromarray(smooth), return_tensors="np")["pixel_values"][0]
    prepared = get_modality("image").transform(smooth, encoder.arch.vision.input, encoder.preprocess)
    assert np.abs(theirs - prepared).max() < 1.5 / 255 / 0.26


def test_a_plain_clip_directory_is_an_image_encoder_and_a_base(base_weights: Path, tmp_path: Path) -> None:
    write_encoder(make_encoder(base_weights, tuning="full"), "hugging_face", tmp_path)
    (tmp_path / "raybind.json").unlink()
    assert read_encoder(tmp_path).modality == "image"
    arch = read_architecture(TINY)
    ours, theirs = load_base(arch, str(tmp_path)), load_base(arch, str(base_weights))
    assert all(torch.equal(ours.state[name], value) for name, value in theirs.state.items() if name != "logit_scale")
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "quick_gelu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"vision tower has activation quick_gelu, .*'ViT-Tiny-14' has gelu"):
        load_base(arch, str(tmp_path))


def test_lora_that_the_official_classes_do_not_build_is_merged(base_weights: Path, tmp_path: Path) -> None:
    encoder = make_encoder(base_weights, lora=LoraConfig(targets=("mlp.fc1", "q_proj")))
    write_encoder(encoder, "languagebind", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vision_config"]["lora_r"] == 0
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))
    torch.testing.assert_close(embed(read_encoder(tmp_path)), embed(encoder), atol=1e-5, rtol=0)


def test_what_a_layout_cannot_hold_is_refused(base_weights: Path, tmp_path: Path) -> None:
    image, audio, video = (make_encoder(base_weights, modality) for modality in ("image", "audio", "video"))
    for encoder in (audio, video):
        with pytest.raises(ConfigError, match="single square images; export it with format=languagebind"):
            write_encoder(encoder, "hugging_face", tmp_path / "out")
    with pytest.raises(ConfigError, match="LanguageBind has no modality 'touch'"):
        write_encoder(dataclasses.replace(image, modality="touch"), "languagebind", tmp_path / "out")
    with pytest.raises(ConfigError, match="cannot do without temporal attention"):
        write_encoder(make_encoder(base_weights, "video", temporal_attention=False), "languagebind", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        write_encoder(image, "raybind", tmp_path)


def test_errors_say_what_is_wrong_with_a_directory(base_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither raybind.json nor config.json; a training run becomes"):
        read_encoder(tmp_path)
    write_encoder(make_encoder(base_weights), "raybind", tmp_path / "ours")
    with pytest.raises(ConfigError, match="encodes image, and is given for depth"):
        read_encoder(tmp_path / "ours", "depth")
    tensors = load_file(tmp_path / "ours" / "model.safetensors")
    tensors["encoder.new"] = tensors.pop("encoder.visual_projection.weight")
    save_file(tensors, tmp_path / "ours" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"missing encoder.visual_projection.weight\nunexpected encoder.new"):
        read_encoder(tmp_path / "ours")
    record = json.loads((tmp_path / "ours" / "raybind.json").read_text())
    (tmp_path / "ours" / "raybind.json").write_text(json.dumps(record | {"format_version": 2}))
    with pytest.raises(ConfigError, match="format version 2, this release reads 1"):
        read_encoder(tmp_path / "ours")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_damaged_base_is_named(base_weights: Path, tmp_path: Path) -> None:
    for name in ("base.safetensors", "base.pt"):
        (tmp_path / name).write_bytes(base_weights.read_bytes()[:5000])
        with pytest.raises(ConfigError, match=name):
            load_base(read_architecture(TINY), str(tmp_path / name))


@pytest.mark.parametrize("vocab_size", [513, 49409])
def test_a_vocabulary_that_is_not_clips_is_refused(vocab_size: int) -> None:
    with pytest.raises(ConfigError, match=f"a vocabulary of {vocab_size} tokens is not CLIP's"):
        Tokenizer(vocab_size, 77)
