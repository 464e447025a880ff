"""The own transformer computes what open_clip computes, and masking only leaves patches out."""

from pathlib import Path

import numpy as np
import open_clip
import peft
import pytest
import torch
from open_clip.factory import load_state_dict
from safetensors.torch import save_file

from raybind.config.base import validate
from raybind.config.model import BaseConfig, LoraConfig, ModelConfig
from raybind.errors import ConfigError
from raybind.model.architecture import read_architecture
from raybind.model.base import fingerprint, from_open_clip, to_open_clip
from raybind.model.bound import BoundModel, apply_tuning, build_model, describe_model, trainable_parameters
from raybind.model.lora import inject_lora
from raybind.model.masking import draw_kept_patches, num_kept_patches
from raybind.model.tokenizer import Tokenizer
from raybind.model.transformer import Attention

TEXTS = ["a cat", "two dogs on a big red chair &amp; nothing else", ""]
TINY = "ViT-Tiny-14"


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = BoundModel(read_architecture(TINY))
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    path = tmp_path_factory.mktemp("base") / "weights.safetensors"
    save_file(to_open_clip(model.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(1))


def tiny_config(weights: Path, **changes: object) -> ModelConfig:
    return ModelConfig.model_validate({"base": {"architecture": TINY, "weights": str(weights)}, **changes})


@pytest.mark.parametrize(
    "name", ["ViT-B-32", "ViT-B-32-quickgelu", pytest.param("ViT-L-14", marks=[pytest.mark.slow, pytest.mark.prove])]
)
def test_embeddings_equal_open_clip(name: str, tmp_path: Path) -> None:
    theirs = open_clip.create_model(name, pretrained=None).eval()
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, tmp_path / "weights.safetensors")
    base = BaseConfig(architecture=name, weights=str(tmp_path / "weights.safetensors"))
    ours, _ = build_model(ModelConfig(base=base, lora=LoraConfig(dropout=0)), seed=0)
    pixels = torch.randn(2, 3, 224, 224)
    ids = torch.from_numpy(Tokenizer(49408, 77)(TEXTS[:2]))
    with torch.inference_mode():
        features = ours.eval()(pixels, ids)
        image, text = theirs.encode_image(pixels, normalize=True), theirs.encode_text(ids, normalize=True)
    torch.testing.assert_close(features.modality_BE, image, atol=1e-5, rtol=0)
    torch.testing.assert_close(features.text_BE, text, atol=1e-5, rtol=0)


def test_open_clip_layout_survives_the_round_trip(tiny_weights: Path) -> None:
    theirs = load_state_dict(str(tiny_weights))
    back = to_open_clip(from_open_clip(theirs))
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], theirs[name]) for name in theirs)


def test_shipped_architecture_loads_in_open_clip_itself(tiny_weights: Path) -> None:
    open_clip.add_model_config(Path(build_model.__code__.co_filename).parent / "architectures")
    model = open_clip.create_model(TINY, pretrained=str(tiny_weights))
    assert model.visual.image_size == (112, 112)


def test_tokens_equal_open_clip() -> None:
    expected = open_clip.get_tokenizer("ViT-B-32")(TEXTS).numpy()
    np.testing.assert_array_equal(Tokenizer(49408, 77)(TEXTS), expected)


def test_a_smaller_vocabulary_keeps_the_end_token_the_largest() -> None:
    ids = Tokenizer(4096, 77)(TEXTS)
    assert ids.max() == 4095
    np.testing.assert_array_equal((ids == 4095).sum(axis=1), 1)
    np.testing.assert_array_equal(ids[:, 0], 4094)


def test_masked_patches_change_nothing(tiny_weights: Path, pixels: torch.Tensor) -> None:
    model, _ = build_model(tiny_config(tiny_weights), seed=0)
    kept = torch.tensor([[0, 5, 63], [1, 2, 3], [60, 61, 62]])
    changed = pixels.clone()
    changed[0, :, 14 * 2 :, : 14 * 4] += 1  # patches 16.. of the left half, none of them kept in row 0
    with torch.inference_mode():
        before, after = model.encoder.eval()(pixels, kept), model.encoder(changed, kept)
        everything = model.encoder(pixels, torch.arange(64).expand(3, -1))
        unmasked = model.encoder(pixels)
    assert torch.equal(before, after)
    torch.testing.assert_close(everything, unmasked, atol=1e-6, rtol=0)


def test_order_of_kept_patches_does_not_matter(tiny_weights: Path, pixels: torch.Tensor) -> None:
    model, _ = build_model(tiny_config(tiny_weights), seed=0)
    with torch.inference_mode():
        one = model.encoder.eval()(pixels, torch.tensor([[3, 9, 40]] * 3))
        other = model.encoder(pixels, torch.tensor([[40, 3, 9]] * 3))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_padding_columns_do_not_change_a_text(tiny_weights: Path) -> None:
    model, _ = build_model(tiny_config(tiny_weights), seed=0)
    ids = torch.from_numpy(Tokenizer(4096, 77)(TEXTS))
    with torch.inference_mode():
        together = model.language.eval()(ids)
        alone = torch.cat([model.language(row[None]) for row in ids])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_fresh_lora_equals_the_base(tiny_weights: Path, pixels: torch.Tensor) -> None:
    adapted, base_fingerprint = build_model(tiny_config(tiny_weights), seed=0)
    full, _ = build_model(tiny_config(tiny_weights, tuning="full"), seed=0)
    with torch.inference_mode():
        assert torch.equal(adapted.encoder.eval()(pixels), full.encoder.eval()(pixels))
    assert base_fingerprint == fingerprint(from_open_clip(load_state_dict(str(tiny_weights))))


def test_dropout_before_lora_is_peft_s() -> None:
    """Same draws, values and gradients, though less is kept for the backward pass."""
    results = []
    for inject in (
        lambda model: inject_lora(model, 4, 16, 0.3, ["q_proj", "out_proj"]),
        lambda model: peft.inject_adapter_in_model(
            peft.LoraConfig(r=4, lora_alpha=16, lora_dropout=0.3, target_modules=["q_proj", "out_proj"]), model
        ),
    ):
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"attention": Attention(8, 2)})
        inject(model)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        x = torch.randn(3, 5, 8, requires_grad=True)
        out = model["attention"](x)
        out.square().sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        results.append((out, x.grad, gradients, model.eval()["attention"](x)))
    torch.testing.assert_close(*results, atol=0, rtol=0)


def test_same_seed_same_model(tiny_weights: Path) -> None:
    one, other = (build_model(tiny_config(tiny_weights), seed=3)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_trainable_parameters_of_the_paper() -> None:
    """LanguageBind depth and infrared: ViT-L/14, r = 2; the sum of the official model's trainable parameters."""
    counts = dict(describe_model(ModelConfig()))
    assert counts == {
        "LoRA": 393_216,
        "class_embedding": 1_024,
        "post_layernorm": 2_048,
        "visual_projection": 786_432,
        "logit_scale": 1,
    }
    assert sum(counts.values()) == 1_182_721


@pytest.mark.parametrize(
    ("changes", "frozen"),
    [
        ({}, {"language.text_projection.weight", "encoder.vision.position_embedding"}),
        ({"tuning": "full"}, {"language.text_projection.weight"}),
        ({"temperature": {"learnable": False}}, {"logit_scale"}),
    ],
)
def test_what_the_tuning_freezes(changes: dict[str, object], frozen: set[str]) -> None:
    with torch.device("meta"):
        model = BoundModel(read_architecture(TINY))
        apply_tuning(model, ModelConfig.model_validate(changes))
    assert not frozen & trainable_parameters(model).keys()


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.9, 0.999])
def test_masks_keep_the_stated_number_and_follow_their_generator(ratio: float) -> None:
    generators = [np.random.default_rng(seed) for seed in (1, 2, 1)]
    kept = draw_kept_patches(generators, 64, ratio)
    assert kept is not None
    assert kept.shape == (3, max(1, int(64 * (1 - ratio)))) == (3, num_kept_patches(64, ratio))
    assert all(len(set(row)) == len(row) for row in kept.tolist())
    np.testing.assert_array_equal(kept[0], kept[2])


def test_errors_name_what_is_wrong(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ViT-L-41.*near it: .*ViT-L-14"):
        read_architecture("ViT-L-41")
    with pytest.raises(ConfigError, match="not a plain CLIP"):
        read_architecture("coca_ViT-L-14")
    with pytest.raises(ConfigError, match="ResNet"):
        read_architecture("RN50")
    with pytest.raises(ConfigError, match=r"no-such-tag.*its tags: "):
        build_model(ModelConfig(base=BaseConfig(architecture="ViT-B-32", weights="no-such-tag")), 0)
    with pytest.raises(ConfigError, match=r"missing encoder\.vision\.layers\.6"):
        build_model(ModelConfig(base=BaseConfig(architecture="ViT-B-32", weights=str(tiny_weights))), 0)
    with pytest.raises(ConfigError, match="freezes it so"):
        validate(ModelConfig, {"base": {"weights": None}})
