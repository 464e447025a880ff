"""The pretrained image-language model everything starts from.

Weights are an open_clip pretrained tag (downloaded by open_clip), a local file in open_clip's layout, a local directory
of Hugging Face CLIP or of the official LanguageBind image model (LoRA merged), or the tag of a base that ships with
this package (`model/architectures/<architecture>.<tag>.safetensors`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from open_clip import pretrained
from open_clip.factory import load_state_dict
from torch import Tensor

from raybind.errors import ConfigError
from raybind.model.architecture import OWN_ARCHITECTURES, ClipArchitecture, shipped_weights
from raybind.model.hugging_face import CONFIG_FILE, IGNORED, from_clip, is_clip, read_config, read_sizes
from raybind.model.lora import merged
from raybind.model.official import MODEL_TYPES, from_official, lora_of
from raybind.model.weights_file import UNREADABLE, State, read_folder, unreadable

_TOP_LEVEL = {
    "visual.class_embedding": "encoder.vision.class_embedding",
    "visual.positional_embedding": "encoder.vision.position_embedding",
    "visual.conv1.weight": "encoder.vision.patch_embedding.weight",
    "visual.ln_pre.weight": "encoder.vision.pre_layernorm.weight",
    "visual.ln_pre.bias": "encoder.vision.pre_layernorm.bias",
    "visual.ln_post.weight": "encoder.vision.post_layernorm.weight",
    "visual.ln_post.bias": "encoder.vision.post_layernorm.bias",
    "visual.proj": "encoder.visual_projection.weight",  # transposed
    "token_embedding.weight": "language.token_embedding.weight",
    "positional_embedding": "language.position_embedding",
    "ln_final.weight": "language.final_layer_norm.weight",
    "ln_final.bias": "language.final_layer_norm.bias",
    "text_projection": "language.text_projection.weight",  # transposed
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual.proj", "text_projection"}
_BLOCK = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_TOWERS = {"visual.transformer.resblocks.": "encoder.vision.layers.", "transformer.resblocks.": "language.layers."}


@dataclass(frozen=True)
class Base:
    """Weights of a base, keyed as `model.bound.BoundModel` names them, float32."""

    state: State
    fingerprint: str
    """SHA-256 of all names and values; a checkpoint that holds only what was trained names its base by it."""


def load_base(arch: ClipArchitecture, weights: str) -> Base:
    """Load a base.

    Args:
        weights: open_clip pretrained tag, tag of a shipped base, path of a local file in open_clip's layout, or of a
            directory.
    Raises: ConfigError: unknown tag, unreadable file, or one whose activation is not the architecture's.
    """
    path = locate_weights(arch, weights)
    state = _read_directory(arch, path) if path is not None and path.is_dir() else _read_file(arch, weights, path)
    return Base(state, fingerprint(state))


def locate_weights(arch: ClipArchitecture, weights: str) -> Path | None:
    """The local file or directory that `weights` means, or None for a tag that open_clip downloads.

    Raises: ConfigError: neither.
    """
    path = shipped_weights(arch, weights) or Path(weights)
    if path.is_file() or (path / CONFIG_FILE).is_file():
        return path
    tags = pretrained.list_pretrained_tags_by_model(arch.name)
    if weights in tags:
        return None
    known = ", ".join([*_shipped_tags(arch), *tags]) or "none"
    raise ConfigError(
        f"base weights {weights!r}: no such file, no directory of weights, and no tag of {arch.name!r}; "
        f"its tags: {known}"
    )


def _read_file(arch: ClipArchitecture, weights: str, path: Path | None) -> State:
    path = path or Path(_download(arch, weights))
    try:
        source: Any = load_state_dict(str(path))
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if not isinstance(source, dict):
        raise ConfigError(f"base weights {path} hold a {type(source).__name__}, not named tensors")
    return from_open_clip(source)


def _read_directory(arch: ClipArchitecture, folder: Path) -> State:
    config = read_config(folder)
    _check_computation(arch, read_sizes(config, folder), folder)
    if is_clip(config):
        source = read_folder(folder)
        return from_clip({name: value for name, value in source.items() if name not in IGNORED})
    modality = MODEL_TYPES.get(str(config.get("model_type")))
    if modality != "image":
        raise ConfigError(
            f"base weights {folder}: model_type is {config.get('model_type')!r}; a base is clip or LanguageBindImage"
        )
    state, lora = from_official(read_folder(folder)), lora_of(config["vision_config"], None)
    return state if lora is None else merged(state, lora.rank, lora.alpha)


def _check_computation(arch: ClipArchitecture, found: ClipArchitecture, folder: Path) -> None:
    """What shapes do not tell. Raises: ConfigError: activation or number of heads is another."""
    for tower in ("vision", "text"):
        for value in ("activation", "num_heads"):
            wanted, has = getattr(getattr(arch, tower), value), getattr(getattr(found, tower), value)
            if wanted != has:
                raise ConfigError(
                    f"base weights {folder}: the {tower} tower has {value} {has}, architecture {arch.name!r} has "
                    f"{wanted}; name the architecture that fits, or give it as a JSON file"
                )


def _shipped_tags(arch: ClipArchitecture) -> list[str]:
    files = OWN_ARCHITECTURES.glob(f"{arch.name}.*.safetensors")
    return sorted(file.name.removeprefix(f"{arch.name}.").removesuffix(".safetensors") for file in files)


def _download(arch: ClipArchitecture, tag: str) -> str:
    config = pretrained.get_pretrained_cfg(arch.name, tag)
    wants = "quick_gelu" if config.get("quick_gelu") else "gelu"
    if wants != arch.vision.activation:
        raise ConfigError(
            f"weights {tag!r} were trained with {wants}, architecture {arch.name!r} computes {arch.vision.activation}; "
            f"use {arch.name + '-quickgelu' if wants == 'quick_gelu' else arch.name.removesuffix('-quickgelu')!r}"
        )
    return pretrained.download_pretrained(config)


def fingerprint(state: State) -> str:
    """SHA-256 over the sorted names and values of a state."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def from_open_clip(source: State) -> State:
    """Rename open_clip's tensors to ours, split the packed q, k, v, and convert to float32.

    Raises: ConfigError: a tensor that a plain CLIP model does not have.
    """
    state: State = {}
    for name, tensor in source.items():
        if name == "attn_mask":
            continue
        for ours, value in _rename(name, tensor.float()):
            state[ours] = value.contiguous()
    return state


def to_open_clip(state: State) -> State:
    """The inverse of `from_open_clip`: a file that open_clip itself loads."""
    inverse_top = {ours: theirs for theirs, ours in _TOP_LEVEL.items()}
    inverse_block = {ours: theirs for theirs, ours in _BLOCK.items()}
    source: State = {}
    for name, tensor in state.items():
        if name in inverse_top:
            theirs = inverse_top[name]
            value = tensor.reshape(()) if theirs == "logit_scale" else tensor
            source[theirs] = (value.T if theirs in _TRANSPOSED else value).contiguous()
            continue
        theirs_prefix, rest = next(
            (theirs, name.removeprefix(ours)) for theirs, ours in _TOWERS.items() if name.startswith(ours)
        )
        number, part, kind = rest.split(".", 1)[0], *rest.split(".", 1)[1].rsplit(".", 1)
        if part == "self_attn.q_proj":
            stem = f"{name.rsplit('self_attn', 1)[0]}self_attn."
            packed = [state[f"{stem}{proj}.{kind}"] for proj in ("q_proj", "k_proj", "v_proj")]
            source[f"{theirs_prefix}{number}.attn.in_proj_{kind}"] = torch.cat(packed)
        elif part in inverse_block:
            source[f"{theirs_prefix}{number}.{inverse_block[part]}.{kind}"] = tensor.contiguous()
    return source


def _rename(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    if name in _TOP_LEVEL:
        value = tensor.T if name in _TRANSPOSED else tensor
        return [(_TOP_LEVEL[name], value.reshape(1) if name == "logit_scale" else value)]
    for theirs, ours in _TOWERS.items():
        if not name.startswith(theirs):
            continue
        number, part = name.removeprefix(theirs).split(".", 1)
        if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
            kind = part.removeprefix("attn.in_proj_")
            projections = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
            return [(f"{ours}{number}.self_attn.{proj}.{kind}", value) for proj, value in projections]
        stem, kind = part.rsplit(".", 1)
        if stem in _BLOCK:
            return [(f"{ours}{number}.{_BLOCK[stem]}.{kind}", tensor)]
    raise ConfigError(f"base weights hold {name!r}, which a plain CLIP model does not have")
