"""Encoders of clips, of spectrograms and of short texts: how they start, what they compute, what trains in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raybind.config.base import validate
from raybind.config.model import ModelConfig
from raybind.errors import ConfigError, DataError
from raybind.model.architecture import encoder_architecture
from raybind.model.bound import BoundModel, build_model, describe_model, trainable_parameters
from raybind.model.input_shape import InputShape
from raybind.model.masking import draw_kept_patches

TINY = "ViT-Tiny-14"
SQUARE = InputShape(112, 112)
CLIP = InputShape(112, 112, 4)
SOUND = InputShape(56, 140)
VISION = "encoder.vision"


def build(weights: Path, shape: InputShape = CLIP, **changes: Any) -> BoundModel:
    base = {"architecture": TINY, "weights": str(weights)}
    config = validate(ModelConfig, {"base": base, "lora": {"dropout": 0}, **changes})
    return build_model(config, seed=0, shape=shape)[0].eval()


def random_input(shape: InputShape, batch: int = 2) -> Tensor:
    return torch.randn(batch, *shape.array, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def pooled(model: BoundModel, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
    return model.encoder.vision(pixels, kept)


def test_without_temporal_attention_a_clip_is_the_mean_of_its_frames(base_weights: Path) -> None:
    clips = random_input(CLIP)
    kept = torch.tensor([[3, 9, 40], [0, 1, 2]])
    model, images = build(base_weights, temporal_attention=False), build(base_weights, SQUARE)
    frames = torch.stack([pooled(images, frame, kept) for frame in clips.unbind(2)])
    torch.testing.assert_close(pooled(model, clips, kept), frames.mean(0), atol=1e-6, rtol=0)


def test_a_clip_does_not_depend_on_its_neighbours(base_weights: Path) -> None:
    clips, model = random_input(CLIP, 3), build(base_weights)
    kept = torch.tensor([[3, 9, 40], [0, 1, 2], [4, 5, 63]])
    alone = torch.cat([pooled(model, clip[None], row[None]) for clip, row in zip(clips, kept, strict=True)])
    torch.testing.assert_close(pooled(model, clips, kept), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [SQUARE, CLIP])
def test_the_class_token_alone_leaves_the_last_block_as_from_among_all_tokens(
    shape: InputShape, base_weights: Path
) -> None:
    model, pixels = build(base_weights, shape), random_input(shape)
    vision = model.encoder.vision
    with torch.inference_mode():
        x = vision.tokens(pixels, None)
        for layer in vision.layers:
            x = layer(x)
        whole = vision.post_layernorm(x[:, 0]).unflatten(0, (len(pixels), -1)).mean(1)
    torch.testing.assert_close(pooled(model, pixels), whole, atol=1e-6, rtol=0)


def test_the_order_of_frames_matters_to_temporal_attention_only(base_weights: Path) -> None:
    clips = random_input(CLIP)
    for model, differs in ((build(base_weights), True), (build(base_weights, temporal_attention=False), False)):
        change = (pooled(model, clips) - pooled(model, clips.flip(2))).abs().max()
        assert (change > 1e-3) == differs


def test_masked_patches_of_a_clip_change_nothing(base_weights: Path) -> None:
    model, clips = build(base_weights), random_input(CLIP)
    changed = clips.clone()
    changed[:, :, :, 14 * 2 :, : 14 * 4] += 1  # patches 16.. of the left half, none of them kept
    kept = torch.tensor([[0, 5, 63], [1, 2, 3]])
    assert torch.equal(pooled(model, clips, kept), pooled(model, changed, kept))


def test_temporal_attention_starts_as_the_attention_over_patches(base_weights: Path) -> None:
    state = build(base_weights, tuning="full").state_dict()
    pairs = [(name, name.replace("temporal_attn", "self_attn")) for name in state if "temporal_attn" in name]
    pairs += [(n, n.replace("temporal_layer_norm1", "layer_norm1")) for n in state if "temporal_layer_norm1" in n]
    num_layers = encoder_architecture(ModelConfig.model_validate({"base": {"architecture": TINY}})).vision.num_layers
    assert len(pairs) == num_layers * (8 + 2)
    assert all(torch.equal(state[temporal], state[spatial]) for temporal, spatial in pairs)


def test_class_tokens_of_frames_start_as_the_image_s(base_weights: Path) -> None:
    one, many = build(base_weights), build(base_weights, frame_class_tokens=True)
    tokens = many.encoder.vision.class_embedding
    assert torch.equal(tokens, one.encoder.vision.class_embedding.expand(4, -1))
    random_part = {name: value for name, value in one.state_dict().items() if "temporal_embedding" in name}
    many.load_state_dict(random_part, strict=False)
    clips = random_input(CLIP)
    torch.testing.assert_close(pooled(one, clips), pooled(many, clips), atol=1e-6, rtol=0)
    with torch.no_grad():
        tokens[2, ::2] += 1  # not all alike: the layer norm takes the mean away
    assert (pooled(one, clips) - pooled(many, clips)).abs().max() > 1e-3


def test_a_spectrogram_gets_positions_of_its_own_grid(base_weights: Path) -> None:
    model = build(base_weights, SOUND)
    square = build(base_weights, SQUARE).encoder.vision.position_embedding
    assert model.arch.vision.grid == (4, 10)
    positions = model.encoder.vision.position_embedding
    assert positions.shape == (41, square.shape[1])
    assert torch.equal(positions[0], square[0])
    sounds = random_input(SOUND)
    everything = pooled(model, sounds, torch.arange(40).expand(2, -1))
    torch.testing.assert_close(everything, pooled(model, sounds), atol=1e-6, rtol=0)


def test_short_texts_keep_their_positions(base_weights: Path) -> None:
    short, long = build(base_weights, SQUARE, context_length=32), build(base_weights, SQUARE)
    assert short.arch.text.context_length == 32
    ids = torch.tensor([[4094, 7, 8, 4095] + [0] * 28])
    with torch.inference_mode():
        assert torch.equal(short.language(ids), long.language(ids))


@pytest.mark.parametrize(
    ("changes", "trains", "rests"),
    [
        ({}, {"temporal_attn.q_proj.lora_A", "temporal_embedding", "temporal_layer_norm1"}, {"self_attn", "fc1"}),
        ({"temporal_attention": False}, {"self_attn.q_proj.lora_A"}, {"fc1"}),
        ({"lora": {"targets": ["mlp.fc1"]}}, {"mlp.fc1.lora_A", "temporal_embedding"}, {"attn"}),
        ({"tuning": "attention"}, {"temporal_attn.q_proj.weight", "temporal_embedding"}, {"lora_", "self_attn"}),
        ({"tuning": "full"}, {"temporal_attn", "self_attn", "fc1", "position_embedding"}, {"lora_", "language"}),
    ],
)
def test_what_trains_in_a_video_encoder(
    base_weights: Path, changes: dict[str, Any], trains: set[str], rests: set[str]
) -> None:
    names = trainable_parameters(build(base_weights, **changes))
    for part in trains | {"class_embedding", "post_layernorm", "visual_projection", "logit_scale"}:
        assert any(part in name for name in names), part
    for part in rests:
        assert not any(part in name for name in names), part


def test_trainable_parameters_of_the_paper_s_video_encoder() -> None:
    """ViT-L/14, r = 16, 8 frames: LoRA on the temporal attention."""
    config = ModelConfig.model_validate({"lora": {"rank": 16}})
    counts = dict(describe_model(config, InputShape(224, 224, 8)))
    assert counts == {
        "LoRA": 24 * 4 * 2 * 16 * 1024,
        "temporal attention": 24 * (8 + 2) * 1024,  # temporal_embedding, temporal_layer_norm1
        "class_embedding": 1024,
        "post_layernorm": 2 * 1024,
        "visual_projection": 768 * 1024,
        "logit_scale": 1,
    }


def test_one_draw_per_clip() -> None:
    kept = draw_kept_patches([np.random.default_rng(seed) for seed in range(2)], 64, 0.3)
    assert kept is not None
    assert kept.shape == (2, 44)


@pytest.mark.parametrize("shape", [(2, 3, 8, 112, 112), (2, 3, 112, 112), (2, 4, 3, 112, 112), (2, 3, 4, 112, 98)])
def test_an_input_of_another_shape_is_an_error(base_weights: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"built for inputs of shape \(3, 4, 112, 112\)"):
        pooled(build(base_weights), torch.zeros(shape))


def test_errors_name_what_is_wrong(base_weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"128 x 1024 .*14 x 14; near it: 126 x 1022 or 140 x 1036"):
        build(base_weights, InputShape(128, 1024))
    with pytest.raises(ConfigError, match=r"frame_class_tokens=True needs a modality with frames"):
        build(base_weights, SQUARE, frame_class_tokens=True)
    with pytest.raises(ConfigError, match=r"context_length=78 is more than the 77"):
        build(base_weights, SQUARE, context_length=78)
    with pytest.raises(ConfigError, match=r"lora\.targets names temporal_attn\.q_proj; .*self_attn\.q_proj"):
        build(base_weights, SQUARE, lora={"targets": ["temporal_attn.q_proj", "mlp.fc1"]})
