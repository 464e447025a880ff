"""Encoders of the tiny architecture, random from fixed seeds."""

from pathlib import Path

import torch

from raybind.config.data import AudioConfig, PreprocessConfig, VideoConfig
from raybind.config.model import BaseConfig, ModelConfig
from raybind.model.bound import build_model, default_targets
from raybind.model.input_shape import InputShape
from raybind.model.trained import TrainedEncoder

TINY = "ViT-Tiny-14"
SHAPES = {
    "image": None,
    "depth": None,
    "infrared": None,
    "audio": InputShape(28, 70),
    "video": InputShape(112, 112, 2),
}


def make_encoder(weights: Path, modality: str = "image", **model: object) -> TrainedEncoder:
    """An encoder of one modality, as if LoRA had trained it, on a base of these weights."""
    config = ModelConfig(base=BaseConfig(architecture=TINY, weights=str(weights)), **model)
    built, _ = build_model(config, seed=0, shape=SHAPES[modality])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    targets = config.lora.targets or default_targets(built.arch)
    return TrainedEncoder(
        modality=modality,
        arch=built.arch,
        lora=config.lora.model_copy(update={"targets": targets}) if config.tuning == "lora" else None,
        state={name: value.detach() for name, value in built.state_dict().items()},
        preprocess=PreprocessConfig(
            short_edge=128,
            video=VideoConfig(num_frames=2),
            audio=AudioConfig(num_mel_bins=28, target_length=70),
        ),
        prompts=("a photo of {}.",),
        provenance={"run": "test", "step": "7"},
    )
