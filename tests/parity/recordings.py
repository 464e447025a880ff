"""Recordings of the official LanguageBind code: where they are, and their weights under our names."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from raybind.config.model import ModelConfig
from raybind.model.input_shape import InputShape

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
MISSING = f"official recordings are not at {FIXTURES}"

_NAMES = {
    r"^(text|visual)_projection\.": {"text": "language.text_projection.", "visual": "encoder.visual_projection."},
    r"^(text|vision)_model\.": {"text": "language.", "vision": "encoder.vision."},
}


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a recording."""
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a LanguageBind or Hugging Face CLIP file, named as `BoundModel` names them."""
    source = {rename(name): value for name, value in load_file(path).items() if not name.endswith("position_ids")}
    adapted = {name.split(".lora_A.")[0] for name in source if ".lora_A." in name}
    state = {}
    for name, value in source.items():
        module, _, kind = name.rpartition(".")
        if name == "logit_scale":
            value = value.reshape(1)
        if name.endswith("temporal_embedding"):
            value = value[0]
        if value.ndim == 5:
            value = value.squeeze(2)
        state[f"{module}.base_layer.{kind}" if module in adapted else name] = value
    return state


def rename(name: str) -> str:
    """An official parameter's name in ours, but for peft's `base_layer`."""
    for pattern, prefixes in _NAMES.items():
        name = re.sub(pattern, lambda match, known=prefixes: known[match[1]], name)
    name = name.replace("encoder.base_model.model.layers.", "encoder.layers.").replace("encoder.layers.", "layers.")
    name = name.replace("embeddings.", "").replace("pre_layrnorm", "pre_layernorm")
    return name.replace("position_embedding.weight", "position_embedding")


def write_architecture(config: Mapping[str, Any], path: Path) -> None:
    """Write the sizes of a Hugging Face configuration in open_clip's format."""
    vision, text = config["vision_config"], config["text_config"]
    assert vision["hidden_act"] == text["hidden_act"]
    architecture = {
        "embed_dim": config["projection_dim"],
        "quick_gelu": vision["hidden_act"] == "quick_gelu",
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "layers": vision["num_hidden_layers"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }
    path.write_text(json.dumps(architecture))


def read_model_config(folder: Path, architecture: Path) -> tuple[ModelConfig, InputShape]:
    """What an official model directory says, in our terms; its sizes go to the file `architecture`."""
    config = json.loads((folder / "config.json").read_text())
    write_architecture(config, architecture)
    vision = config["vision_config"]
    size, mel, length = vision["image_size"], int(vision["num_mel_bins"]), int(vision["target_length"])
    shape = InputShape(mel or size, length or size, vision["num_frames"] if vision["add_time_attn"] else None)
    rank = vision["lora_r"]
    return ModelConfig.model_validate(
        {
            "base": {"architecture": str(architecture)},
            "tuning": "lora" if rank else "full",
            "lora": {"rank": rank or 1, "alpha": vision["lora_alpha"], "dropout": vision["lora_dropout"]},
            "frame_class_tokens": vision.get("clip_type") == "vl_new",
        }
    ), shape
