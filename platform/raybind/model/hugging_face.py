"""CLIP in Hugging Face's layout: how transformers names its tensors, and what its `config.json` says.

The official LanguageBind layout is this one with additions, see `model/official.py`; directories are read and written
by `model/layouts.py`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybind.config.data import PreprocessConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture, TextArchitecture, VisionArchitecture
from raybind.model.input_shape import InputShape
from raybind.model.transformer import ACTIVATIONS, LAYER_NORM_EPS
from raybind.model.weights_file import State

Json = dict[str, Any]

CONFIG_FILE = "config.json"

_PILLOW_BICUBIC = 3

NAMES = {
    "vision_model.embeddings.class_embedding": "encoder.vision.class_embedding",
    "vision_model.embeddings.patch_embedding.": "encoder.vision.patch_embedding.",
    "vision_model.embeddings.position_embedding.weight": "encoder.vision.position_embedding",
    "vision_model.pre_layrnorm.": "encoder.vision.pre_layernorm.",  # misspelt there
    "vision_model.encoder.layers.": "encoder.vision.layers.",
    "vision_model.post_layernorm.": "encoder.vision.post_layernorm.",
    "visual_projection.": "encoder.visual_projection.",
    "text_model.embeddings.token_embedding.": "language.token_embedding.",
    "text_model.embeddings.position_embedding.weight": "language.position_embedding",
    "text_model.encoder.layers.": "language.layers.",
    "text_model.final_layer_norm.": "language.final_layer_norm.",
    "text_projection.": "language.text_projection.",
    "logit_scale": "logit_scale",
}
"""Beginnings of names: theirs to ours; what follows is the same."""

IGNORED = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Buffers 0, 1, 2, ... that some versions of transformers store."""

_VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 32,
    "image_size": 224,
}
_TEXT_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
}


def is_clip(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of a plain CLIP model."""
    return config.get("model_type") == "clip"


def from_clip(source: State) -> State:
    """Their tensors under our names, float32. Raises: ConfigError: a tensor that CLIP does not have."""
    state = {}
    for name, value in source.items():
        ours = renamed(name, NAMES)
        if ours is None:
            raise ConfigError(f"{name!r} is not a tensor of a CLIP model")
        state[ours] = value.float().reshape(1) if name == "logit_scale" else value.float()
    return state


def to_clip(state: State) -> State:
    """The inverse of `from_clip`."""
    names = {ours: theirs for theirs, ours in NAMES.items()}
    source = {}
    for name, value in state.items():
        theirs = renamed(name, names)
        assert theirs is not None, name
        source[theirs] = value.reshape(()) if name == "logit_scale" else value
    return source


def renamed(name: str, names: Mapping[str, str]) -> str | None:
    """The name with its beginning replaced, or None where no beginning fits."""
    return next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), None)


def read_config(folder: Path) -> Json:
    """The `config.json` of a directory. Raises: ConfigError: there is none, or it is not JSON."""
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    towers = ("text_config", "vision_config")
    if not isinstance(config, dict) or not all(isinstance(config.get(tower), dict) for tower in towers):
        raise ConfigError(f"{path} lacks text_config or vision_config: it is not of a CLIP or LanguageBind model")
    return config


def read_sizes(config: Json, folder: Path) -> ClipArchitecture:
    """Sizes of both towers; what the file leaves out has transformers' default.

    Raises: ConfigError: something that would change the computation and is not supported.
    """
    path = folder / CONFIG_FILE
    vision, text = _VISION_DEFAULTS | config["vision_config"], _TEXT_DEFAULTS | config["text_config"]
    if vision.get("num_channels", 3) != 3:
        raise ConfigError(f"{path}: vision_config.num_channels={vision['num_channels']}; encoders take 3 channels")
    return ClipArchitecture(
        name=folder.name,
        embedding_dim=config.get("projection_dim", 512),
        vision=VisionArchitecture(
            input=_image_shape(vision["image_size"], path),
            patch_size=vision["patch_size"],
            width=vision["hidden_size"],
            num_layers=vision["num_hidden_layers"],
            num_heads=vision["num_attention_heads"],
            mlp_width=vision["intermediate_size"],
            activation=_activation(vision, "vision_config", path),
        ),
        text=TextArchitecture(
            context_length=text["max_position_embeddings"],
            vocab_size=text["vocab_size"],
            width=text["hidden_size"],
            num_layers=text["num_hidden_layers"],
            num_heads=text["num_attention_heads"],
            mlp_width=text["intermediate_size"],
            activation=_activation(text, "text_config", path),
        ),
    )


def clip_config(arch: ClipArchitecture) -> Json:
    """The `config.json` of a CLIP model of these sizes."""
    vision, text = arch.vision, arch.text
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": arch.embedding_dim,
        "logit_scale_init_value": round(math.log(1 / 0.07), 4),
        "initializer_factor": 1.0,
        "torch_dtype": "float32",
        "text_config": {
            "model_type": "clip_text_model",
            **_transformer(text, arch.embedding_dim),
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "bos_token_id": text.vocab_size - 2,
            "eos_token_id": text.vocab_size - 1,
            "pad_token_id": 1,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            **_transformer(vision, arch.embedding_dim),
            "image_size": vision.input.height,
            "num_channels": 3,
            "patch_size": vision.patch_size,
        },
    }


def image_processor_config(shape: InputShape, preprocess: PreprocessConfig) -> Json:
    """The `preprocessor_config.json` of transformers' CLIPImageProcessor, for pictures of 8 bits.

    It resizes whole numbers, antialiased, where ours resizes floating point; they differ by the rounding to 1 / 255.
    """
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": preprocess.short_edge or shape.height},
        "resample": _PILLOW_BICUBIC,
        "do_center_crop": True,
        "crop_size": {"height": shape.height, "width": shape.width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
    }


def _transformer(tower: VisionArchitecture | TextArchitecture, embedding_dim: int) -> Json:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.mlp_width,
        "num_hidden_layers": tower.num_layers,
        "num_attention_heads": tower.num_heads,
        "hidden_act": tower.activation,
        "layer_norm_eps": LAYER_NORM_EPS,
        "attention_dropout": 0.0,
        "projection_dim": embedding_dim,
    }


def _activation(tower: Json, section: str, path: Path) -> str:
    name, eps = tower.get("hidden_act", "quick_gelu"), tower.get("layer_norm_eps", LAYER_NORM_EPS)
    if name not in ACTIVATIONS:
        raise ConfigError(f"{path}: {section}.hidden_act={name!r} is not supported; it is one of {list(ACTIVATIONS)}")
    if eps != LAYER_NORM_EPS:
        raise ConfigError(f"{path}: {section}.layer_norm_eps={eps} is not supported; CLIP has {LAYER_NORM_EPS}")
    return name


def _image_shape(size: int | list[int], path: Path) -> InputShape:
    """One number, or [height, width] where the official code has overwritten it."""
    sides = [size, size] if isinstance(size, int) else size
    if len(sides) != 2:
        raise ConfigError(f"{path}: vision_config.image_size={size} is neither one number nor two")
    return InputShape(*sides)
