"""`raybind.LanguageBind`: media and texts of several modalities to unit vectors in one space."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import raybind
from raybind.config.data import PreprocessConfig
from raybind.config.model import BaseConfig, ModelConfig
from raybind.errors import ConfigError, DataError
from raybind.modalities import get_modality
from raybind.model.architecture import read_architecture
from raybind.model.bound import build_model, default_targets
from raybind.model.layouts import write_encoder
from raybind.model.tokenizer import Tokenizer
from raybind.model.trained import TrainedEncoder

TINY = "ViT-Tiny-14"
PREPROCESS = PreprocessConfig.model_validate(
    {"video": {"num_frames": 2}, "audio": {"num_mel_bins": 28, "target_length": 70}}
)


def export(folder: Path, modality: str, weights: Path) -> Path:
    config = ModelConfig(base=BaseConfig(architecture=TINY, weights=str(weights)))
    shape = get_modality(modality).input_shape(read_architecture(TINY).vision.input.height, PREPROCESS)
    model, _ = build_model(config, seed=0, shape=shape)
    lora = config.lora.model_copy(update={"targets": default_targets(model.arch)})
    state = {name: value.detach() for name, value in model.state_dict().items()}
    write_encoder(TrainedEncoder(modality, model.arch, lora, state, PREPROCESS), "raybind", folder)
    return folder


@pytest.fixture(scope="module")
def exports(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("exports")
    return {name: export(root / name, name, base_weights) for name in ("image", "depth", "audio", "video")}


@pytest.fixture(scope="module")
def model(exports: dict[str, Path]) -> raybind.LanguageBind:
    return raybind.LanguageBind.from_pretrained(exports, device="cpu")


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def picture(seed: int, size: tuple[int, ...] = (130, 150, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@pytest.mark.parametrize("module", ["raybind", "raybind.app.main", "raybind.app.embed"])
def test_importing_waits_for_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'ray', 'open_clip'}} & sys.modules.keys()))"
    env = {**os.environ, "PYTHONPATH": str(Path(raybind.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == 0


def test_all_modalities_into_one_space(model: raybind.LanguageBind) -> None:
    assert set(model.modalities) == {"image", "depth", "audio", "video"}
    sound = np.sin(np.arange(16_000) / 20).astype(np.float32)
    found = model.embed(
        text=["a cat", "a dog barks"],
        image=[picture(0)],
        depth=[np.full((120, 130), 2000, np.uint16)],
        audio=[sound, np.stack([sound, sound])],
        video=[picture(0, (5, 120, 130, 3))],
    )
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "text": (2, 128),
        "image": (1, 128),
        "depth": (1, 128),
        "audio": (2, 128),
        "video": (1, 128),
    }
    for value in found.values():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.norm(dim=1), torch.ones(len(value)))
    cosines = model.similarity(found["audio"], found["text"])
    assert cosines.shape == (2, 2)
    assert (cosines.abs() <= 1 + 1e-6).all()


def test_paths_bytes_and_arrays_are_the_same_picture(model: raybind.LanguageBind, tmp_path: Path) -> None:
    pixels = picture(1)
    (tmp_path / "a.png").write_bytes(png(pixels))
    found = model.embed(image=[tmp_path / "a.png", str(tmp_path / "a.png"), png(pixels), pixels])["image"]
    torch.testing.assert_close(found, found[:1].expand(4, -1), atol=1e-6, rtol=0)


def test_a_sound_file_and_its_samples_are_the_same_sound(model: raybind.LanguageBind) -> None:
    samples = np.sin(np.arange(12_000) / 30).astype(np.float32) * 0.5
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    found = model.embed(audio=[file.getvalue(), samples])["audio"]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_the_batch_size_and_the_order_change_nothing(model: raybind.LanguageBind) -> None:
    pictures = [picture(seed) for seed in range(7)]
    whole = model.embed(image=pictures, batch_size=32)["image"]
    torch.testing.assert_close(model.embed(image=pictures, batch_size=2)["image"], whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        model.embed(image=pictures[::-1], batch_size=3)["image"].flip(0), whole, atol=1e-6, rtol=0
    )
    texts = [f"{number} cats" for number in range(5)]
    torch.testing.assert_close(model.embed_text(texts, 2), model.embed_text(texts), atol=1e-6, rtol=0)


def test_nothing_in_nothing_out(model: raybind.LanguageBind) -> None:
    found = model.embed(image=[], text=[])
    assert {name: tuple(value.shape) for name, value in found.items()} == {"text": (0, 128), "image": (0, 128)}


def test_tensors_below_the_media(model: raybind.LanguageBind) -> None:
    pixels = picture(3)
    prepared = get_modality("image").transform(pixels, read_architecture(TINY).vision.input, PREPROCESS)
    direct = model.encode("image", torch.from_numpy(prepared)[None])
    torch.testing.assert_close(direct, model.embed(image=[pixels])["image"], atol=1e-6, rtol=0)


def test_padding_and_its_mask_change_no_text(model: raybind.LanguageBind) -> None:
    ids = torch.from_numpy(Tokenizer(4096, 77)(["a red chair"]))
    end = int(ids.argmax())
    padded = ids.clone()
    padded[:, end:] = 4095
    mask = (torch.arange(77) <= end).long()[None]
    for found in (model.encode_text(padded, mask), model.encode_text(ids[:, : end + 1]), model.encode_text(padded)):
        torch.testing.assert_close(found, model.encode_text(ids), atol=1e-6, rtol=0)
    mask[0, 1] = 0
    with pytest.raises(DataError, match="hides tokens before the end"):
        model.encode_text(padded, mask)
    with pytest.raises(DataError, match="texts of 78 tokens"):
        model.encode_text(torch.zeros(1, 78, dtype=torch.long))


def test_a_bad_item_is_named(model: raybind.LanguageBind, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(png(picture(0))[:200])
    for item, name in (
        (tmp_path / "broken.png", "image .*broken.png: "),
        (tmp_path / "absent.png", "absent.png: No such file"),
        (b"<html>", "at place 1 .6 bytes.: "),
        (np.zeros((4, 4, 9), np.uint8), r"at place 1 .array of shape \(4, 4, 9\).: "),
    ):
        with pytest.raises(DataError, match=name):
            model.embed(image=[picture(0), item])


def test_wrong_use_is_explained(model: raybind.LanguageBind, exports: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no encoder of 'thermal'.*thermal is infrared here"):
        model.embed(thermal=[picture(0)])
    with pytest.raises(ConfigError, match="image takes a list of items, and got a single str"):
        model.embed(image="a.png")
    with pytest.raises(ConfigError, match="text takes a list"):
        model.embed(text="a cat")
    with pytest.raises(DataError, match="built for inputs of shape"):
        model.encode("image", torch.zeros(1, 3, 56, 56))
    with pytest.raises(ConfigError, match="encodes image, and is given for depth"):
        raybind.LanguageBind.from_pretrained({"depth": exports["image"]})
    with pytest.raises(ConfigError, match="neither a local path nor the id"):
        raybind.LanguageBind.from_pretrained(tmp_path / "no such folder")
    with pytest.raises(ConfigError, match="device='warp' cannot be used"):
        raybind.LanguageBind.from_pretrained(exports["image"], device="warp")
    with pytest.raises(ConfigError, match="no encoder is named"):
        raybind.LanguageBind.from_pretrained({})
    with pytest.raises(AttributeError, match="no attribute 'LanguageBnid'"):
        raybind.LanguageBnid  # noqa: B018
