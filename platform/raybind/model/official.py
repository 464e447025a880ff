"""LanguageBind's own layout: names of tensors and `config.json`, as its classes load and save them.

It is Hugging Face CLIP with additions: the vision encoder is wrapped by peft where it has LoRA, video has
temporal attention, and `config.json` says what is fed and how. Whatever wrote them is read: peft before and after 0.7
(`q_proj.weight`, `q_proj.base_layer.weight`), FT weights (`lora_r` 0), V1.5 video (`clip_type` vl_new: a class token
per frame, a patch convolution with a time axis of 1), the `position_ids` of some versions of transformers. Token ids of
`text_config` are ignored, as the official classes do: a text ends at its largest id.

What is written is what the official classes load with the peft version their repository pins. Their "thermal" is our
infrared. Directories and training checkpoints are read and written by `model/layouts.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from raybind.config.base import validate
from raybind.config.data import PreprocessConfig
from raybind.config.model import LoraConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture
from raybind.model.hugging_face import (
    CONFIG_FILE,
    IGNORED,
    Json,
    clip_config,
    from_clip,
    read_sizes,
    to_clip,
)
from raybind.model.input_shape import InputShape
from raybind.model.weights_file import State

MODEL_TYPES = {
    "LanguageBindVideo": "video",
    "LanguageBindThermal": "infrared",
    "LanguageBindDepth": "depth",
    "LanguageBindAudio": "audio",
    "LanguageBindImage": "image",
}
"""`model_type` of `config.json` to modality."""

_LAYERS, _WRAPPED_LAYERS = "vision_model.encoder.layers.", "vision_model.encoder.base_model.model.layers."
# What the official configuration classes take where `config.json` is silent.
_DEFAULT_RANK, _DEFAULT_ALPHA, _DEFAULT_MAX_DEPTH = 2, 16, 10
_DEFAULT_SAMPLE_RATE, _DEFAULT_AUDIO_MEAN, _DEFAULT_AUDIO_STD = 16_000, 0.5, 0.5


def is_official(config: Mapping[str, object]) -> bool:
    """Whether a `config.json` is that of an official LanguageBind model."""
    return config.get("model_type") in MODEL_TYPES


def from_official(source: State) -> State:
    """Their tensors under our names, float32; any peft naming. Raises: ConfigError: a tensor CLIP does not have."""
    state = from_clip({name: _our_shape(name, value) for name, value in plain_names(source).items()})
    adapted = {name.partition(".lora_A.")[0] for name in state if ".lora_A." in name}
    return {_with_base_layer(name, adapted): value for name, value in state.items()}


def to_official(state: State) -> State:
    """The inverse of `from_official`, with peft's names before 0.7 and the position buffers."""
    wrapped = any(".lora_A." in name for name in state)
    per_frame = state["encoder.vision.class_embedding"].ndim == 2
    source = to_clip({name.replace(".base_layer.", "."): value for name, value in state.items()})
    source = {name: _their_shape(name, value, per_frame) for name, value in source.items()}
    if wrapped:
        source = {name.replace(_LAYERS, _WRAPPED_LAYERS): value for name, value in source.items()}
    for name in IGNORED:
        table = source[name.replace("position_ids", "position_embedding.weight")]
        source[name] = torch.arange(len(table), device=table.device)[None]
    return source


def read_official_sizes(config: Json, folder: Path) -> ClipArchitecture:
    """Sizes of both towers and what the vision encoder is fed. Raises: ConfigError: not supported."""
    arch, vision = read_sizes(config, folder), config["vision_config"]
    if vision.get("tube_size", 1) != 1:
        raise ConfigError(f"{folder / CONFIG_FILE}: vision_config.tube_size={vision['tube_size']}; only 1 works")
    temporal = bool(vision.get("add_time_attn", False))
    mel_bins, length = int(vision.get("num_mel_bins") or 0), int(vision.get("target_length") or 0)
    shape = InputShape(mel_bins, length) if mel_bins and length else arch.vision.input
    if temporal:
        shape = replace(shape, num_frames=vision.get("num_frames", 1))
    per_frame = temporal and vision.get("clip_type") == "vl_new"
    return replace(
        arch, vision=replace(arch.vision, input=shape, temporal_attention=temporal, frame_class_tokens=per_frame)
    )


def official_config(
    modality: str, arch: ClipArchitecture, lora: LoraConfig | None, preprocess: PreprocessConfig
) -> Json:
    """The `config.json` that the official classes read."""
    model_type = next(name for name, known in MODEL_TYPES.items() if known == modality)
    config = clip_config(arch)
    config |= {"architectures": [model_type], "model_type": model_type}
    shape = arch.vision.input
    config["vision_config"] |= {
        "add_time_attn": arch.vision.temporal_attention,
        "num_frames": shape.num_frames or 1,
        "force_patch_dropout": 0.0,
        "lora_r": lora.rank if lora else 0,
        "lora_alpha": lora.alpha if lora else _DEFAULT_ALPHA,
        "lora_dropout": lora.dropout if lora else 0.0,
        "num_mel_bins": 0.0,
        "target_length": 0.0,
        "video_decode_backend": "decord",
    }
    if modality == "depth":
        config["vision_config"]["max_depth"] = preprocess.depth.max_metres or 0
    if modality == "audio":
        config["vision_config"] |= {
            "num_mel_bins": shape.height,
            "target_length": shape.width,
            "audio_sample_rate": preprocess.audio.sample_rate_hz,
            "audio_mean": preprocess.audio.mean,
            "audio_std": preprocess.audio.std,
        }
    if arch.vision.frame_class_tokens:
        config["vision_config"] |= {"clip_type": "vl_new", "tube_size": 1}
    return config


def official_preprocessing(modality: str, arch: ClipArchitecture, vision: Json) -> PreprocessConfig:
    """The official code's preprocessing with the values of a `config.json`: no antialiasing, for one."""
    values: Json = {"antialias": False}
    if modality == "depth":
        values["depth"] = {"max_metres": vision.get("max_depth", _DEFAULT_MAX_DEPTH) or None}
    if modality == "video":
        values["video"] = {"num_frames": arch.vision.input.num_frames or 1}
    if modality == "audio":
        values["audio"] = {
            "sample_rate_hz": vision.get("audio_sample_rate", _DEFAULT_SAMPLE_RATE),
            "num_mel_bins": arch.vision.input.height,
            "target_length": arch.vision.input.width,
            "mean": vision.get("audio_mean", _DEFAULT_AUDIO_MEAN),
            "std": vision.get("audio_std", _DEFAULT_AUDIO_STD),
        }
    return validate(PreprocessConfig, values)


def plain_names(source: State) -> State:
    """The names without what peft and transformers versions differ in."""
    return {
        name.replace(_WRAPPED_LAYERS, _LAYERS).replace(".base_layer.", "."): value
        for name, value in source.items()
        if name not in IGNORED
    }


def settings_of(source: State) -> Json:
    """The fields of `vision_config` that the tensors of a training checkpoint tell."""
    plain = plain_names(source)
    temporal = plain.get(f"{_LAYERS}0.temporal_embedding")
    ranks = {len(value) for name, value in plain.items() if ".lora_A." in name}
    if len(ranks) > 1:
        raise ConfigError(f"LoRA has several ranks in one checkpoint: {sorted(ranks)}")
    per_frame = plain["vision_model.embeddings.class_embedding"].ndim == 2
    return {
        "add_time_attn": temporal is not None,
        "num_frames": 1 if temporal is None else temporal.shape[1],
        "clip_type": "vl_new" if per_frame else None,
        "lora_r": next(iter(ranks), 0),
    }


def lora_of(vision: Json, targets: tuple[str, ...] | None) -> LoraConfig | None:
    """LoRA as a `vision_config` has it, on the layers named; None for FT weights."""
    rank = vision.get("lora_r", _DEFAULT_RANK)
    if rank == 0:
        return None
    alpha, dropout = vision.get("lora_alpha", _DEFAULT_ALPHA), vision.get("lora_dropout", 0.0)
    return LoraConfig(rank=rank, alpha=alpha, dropout=dropout, targets=targets)


def adapted_endings(source: State) -> tuple[str, ...]:
    """What LoRA adapts in a training checkpoint, as `LoraConfig.targets` has it: `self_attn.q_proj`, ..."""
    linears = (name.partition(".lora_A.")[0] for name in source if ".lora_A." in name)
    return tuple(sorted({".".join(name.split(".")[-2:]) for name in linears}))


def _with_base_layer(name: str, adapted: set[str]) -> str:
    linear, _, kind = name.rpartition(".")
    return f"{linear}.base_layer.{kind}" if linear in adapted else name


def _our_shape(name: str, value: Tensor) -> Tensor:
    if name.endswith(".temporal_embedding"):
        return value.squeeze(0)
    if name.endswith(".patch_embedding.weight") and value.ndim == 5:
        return value.squeeze(2)
    return value


def _their_shape(name: str, value: Tensor, per_frame: bool) -> Tensor:
    if name.endswith(".temporal_embedding"):
        return value.unsqueeze(0)
    if name.endswith(".patch_embedding.weight") and per_frame:
        return value.unsqueeze(2)
    return value
