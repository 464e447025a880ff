"""The encoders against outputs of the official LanguageBind models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from raybind.model.architecture import encoder_architecture
from raybind.model.bound import BoundModel, apply_tuning
from raybind.model.start import resize_position_embedding
from tests.parity.recordings import FIXTURES, MISSING, read_model_config, read_npz, read_weights

MODELS = FIXTURES / "models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=MISSING)

WITH_INPUTS = ("image", "depth", "thermal", "audio", "video", "video_v15_ft")
MERGED = ("image_ft", "audio_ft", "video_ft")


def load_model(name: str, tmp_path: Path) -> BoundModel:
    config, shape = read_model_config(MODELS / name, tmp_path / "architecture.json")
    model = BoundModel(encoder_architecture(config, shape))
    apply_tuning(model, config)
    model.load_state_dict(read_weights(MODELS / name / "model.safetensors"), strict=True)
    return model.eval()


def read_inputs(name: str) -> tuple[Tensor, Tensor]:
    folder = MODELS / (name if name in WITH_INPUTS else name.removesuffix("_ft"))
    pixels, ids = (np.load(folder / f"{part}.npy") for part in ("pixel_values", "input_ids"))
    return torch.from_numpy(pixels), torch.from_numpy(ids).long()


def encode(model: BoundModel, pixels: Tensor, kept: Tensor | None) -> dict[str, Tensor]:
    """The encoder's output and what the recordings show of its inside.

    The blocks run here by themselves, since the encoder computes the class token alone in the last one.
    """
    states = []
    with torch.inference_mode():
        pooled = model.encoder.vision(pixels, kept)
        features = model.encoder.visual_projection(pooled)
        x = model.encoder.vision.tokens(pixels, kept)
        for layer in model.encoder.vision.layers:
            x = layer(x)
            states.append(x)
    return {
        "vision_hidden_states": torch.stack(states),
        "vision_last_hidden_state": states[-1],
        "vision_pooler_output": pooled,
        "image_features_unnormalised": features,
    }


@pytest.mark.parametrize("name", [*WITH_INPUTS, *MERGED])
def test_forward(name: str, tmp_path: Path) -> None:
    model, recorded = load_model(name, tmp_path), read_npz(MODELS / name / "outputs.npz")
    pixels, ids = read_inputs(name)
    found = encode(model, pixels, None)
    with torch.inference_mode():
        features = model(pixels, ids)
    found |= {
        "image_embeds": features.modality_BE,
        "text_embeds": features.text_BE,
        "logits_per_image": features.modality_BE @ features.text_BE.T * features.scale,
    }
    if "vision_hidden_states" in recorded:
        recorded["vision_hidden_states"] = recorded["vision_hidden_states"][1:]
    compared = found.keys() & recorded.keys()
    assert compared >= {"image_embeds", "text_embeds", "vision_pooler_output", "vision_last_hidden_state"}
    for output in compared:
        torch.testing.assert_close(
            found[output], recorded[output], atol=1e-5, rtol=0, msg=lambda m, o=output: f"{o}: {m}"
        )


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_patch_dropout_with_the_recorded_patches(name: str, tmp_path: Path) -> None:
    recorded = read_npz(MODELS / name / "train_mode_patch_dropout.npz")
    found = encode(load_model(name, tmp_path), read_inputs(name)[0], recorded["kept_patch_indices"])
    for output in ("vision_last_hidden_state", "vision_pooler_output", "image_features_unnormalised"):
        torch.testing.assert_close(found[output], recorded[output], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("case", "from_side", "to_grid"),
    [
        ("p14_112x1036", 16, (8, 74)),
        ("p14_126x1036", 16, (9, 74)),
        ("p16_128x1024", 14, (8, 64)),
        ("p14_28x70_from56", 4, (2, 5)),
    ],
)
def test_position_embeddings_resized_for_audio(case: str, from_side: int, to_grid: tuple[int, int]) -> None:
    recorded = read_npz(FIXTURES / "resize_pos_reference.npz")
    found = resize_position_embedding(recorded[f"{case}_before"], (from_side, from_side), to_grid)
    torch.testing.assert_close(found, recorded[f"{case}_after"], atol=1e-6, rtol=0)


def test_position_embeddings_of_the_audio_model_at_its_start() -> None:
    recorded = read_npz(MODELS / "audio" / "resize_pos_at_init.npz")
    found = resize_position_embedding(recorded["position_embedding_before"], (4, 4), (2, 5))
    torch.testing.assert_close(found, recorded["position_embedding_after"], atol=1e-6, rtol=0)
