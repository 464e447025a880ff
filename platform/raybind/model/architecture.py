"""Sizes of the two towers, read from an open_clip model configuration.

An architecture is named as open_clip names it (`ViT-L-14`), by the path of a JSON file in open_clip's format, or by the
name of a file in `model/architectures`, where the package keeps its own. Only plain CLIP transformers are supported;
anything that would change the computation is refused, never ignored.
"""

import difflib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raybind.config.model import ModelConfig
from raybind.errors import ConfigError
from raybind.model.input_shape import InputShape

OWN_ARCHITECTURES = Path(__file__).parent / "architectures"

_VISION_KEYS = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
_TEXT_KEYS = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}


@dataclass(frozen=True)
class VisionArchitecture:
    """Sizes of a vision transformer."""

    input: InputShape
    """A square image, unless a modality's encoder is fed something else."""
    patch_size: int
    """Pixels."""
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    activation: str
    """A name of `model.transformer.ACTIVATIONS`."""
    temporal_attention: bool = False
    """Whether each block first attends over the frames of a clip; the input must have frames."""
    frame_class_tokens: bool = False
    """Whether each frame of a clip has a class token of its own (LanguageBind V1.5 video)."""

    def __post_init__(self) -> None:
        height, width, patch = self.input.height, self.input.width, self.patch_size
        if height % patch or width % patch:
            rows, columns = max(1, height // patch), max(1, width // patch)
            raise ConfigError(
                f"an input of {height} x {width} does not divide into patches of {patch} x {patch}; near it: "
                f"{rows * patch} x {columns * patch} or {(rows + 1) * patch} x {(columns + 1) * patch}"
            )
        if (self.temporal_attention or self.frame_class_tokens) and self.input.num_frames is None:
            raise ConfigError("temporal attention and class tokens per frame need an input with frames")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches of one image or frame: rows, columns."""
        return self.input.height // self.patch_size, self.input.width // self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of one image or frame."""
        rows, columns = self.grid
        return rows * columns


@dataclass(frozen=True)
class TextArchitecture:
    """Sizes of a text transformer."""

    context_length: int
    """Longest text, in tokens."""
    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    activation: str
    """A name of `model.transformer.ACTIVATIONS`."""


@dataclass(frozen=True)
class ClipArchitecture:
    """Both towers of a CLIP model and the size of the space they share."""

    name: str
    embedding_dim: int
    vision: VisionArchitecture
    text: TextArchitecture


def read_architecture(name: str) -> ClipArchitecture:
    """Look an architecture up.

    Args:
        name: open_clip model name, or path of a JSON file in the format of open_clip's model_configs.
    Raises: ConfigError: unknown name, unreadable file, or a feature that is not a plain CLIP transformer.
    """
    config = _read_open_clip_config(name)
    activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    vision, text = config["vision_cfg"], config["text_cfg"]
    _refuse_unknown(name, "vision_cfg", vision, _VISION_KEYS)
    _refuse_unknown(name, "text_cfg", text, _TEXT_KEYS)
    if vision.get("patch_size") is None:
        raise ConfigError(
            f"architecture {name!r} looks at images with a ResNet; only vision transformers are supported"
        )
    vision_width, text_width = vision["width"], text["width"]
    return ClipArchitecture(
        name=name,
        embedding_dim=config["embed_dim"],
        vision=VisionArchitecture(
            input=InputShape(vision["image_size"], vision["image_size"]),
            patch_size=vision["patch_size"],
            width=vision_width,
            num_layers=vision["layers"],
            num_heads=vision_width // vision.get("head_width", 64),
            mlp_width=int(vision_width * vision.get("mlp_ratio", 4.0)),
            activation=activation,
        ),
        text=TextArchitecture(
            context_length=text.get("context_length", 77),
            vocab_size=text.get("vocab_size", 49408),
            width=text_width,
            num_layers=text["layers"],
            num_heads=text["heads"],
            mlp_width=int(text_width * text.get("mlp_ratio", 4.0)),
            activation=activation,
        ),
    )


def encoder_architecture(config: ModelConfig, shape: InputShape | None = None) -> ClipArchitecture:
    """The architecture of the base as a modality's encoder and its texts need it.

    Args:
        shape: what the encoder is fed; None: the base's square image.
    Raises: ConfigError: as `read_architecture`; or the sizes do not fit together.
    """
    arch = read_architecture(config.base.architecture)
    context_length = config.context_length or arch.text.context_length
    if context_length > arch.text.context_length:
        raise ConfigError(
            f"model.context_length={context_length} is more than the {arch.text.context_length} positions of "
            f"{config.base.architecture!r}"
        )
    shape = shape or arch.vision.input
    moves = shape.num_frames is not None
    if config.frame_class_tokens and not moves:
        raise ConfigError("model.frame_class_tokens=True needs a modality with frames; set it to False")
    vision = replace(
        arch.vision,
        input=shape,
        temporal_attention=moves and config.temporal_attention,
        frame_class_tokens=config.frame_class_tokens,
    )
    return replace(arch, vision=vision, text=replace(arch.text, context_length=context_length))


def shipped_weights(arch: ClipArchitecture, tag: str) -> Path | None:
    """The file of a base that ships with this package, or None."""
    path = OWN_ARCHITECTURES / f"{arch.name}.{tag}.safetensors"
    return path if path.is_file() else None


def _read_open_clip_config(name: str) -> Mapping[str, Any]:
    own = OWN_ARCHITECTURES / f"{name}.json"
    path = own if own.is_file() else Path(name)
    if path.suffix == ".json":
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"architecture file {path} cannot be read: {error}") from None
    known = _open_clip_configs()
    if name not in known:
        close = ", ".join(difflib.get_close_matches(name, known, n=3)) or "ViT-L-14, ViT-B-32, ..."
        raise ConfigError(
            f"architecture {name!r} is not an open_clip model; near it: {close}; or give the path of a JSON file in "
            "open_clip's format"
        )
    return json.loads(known[name].read_text())


def _open_clip_configs() -> dict[str, Path]:
    # Found without importing open_clip, which takes seconds.
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "model_configs"
    return {path.stem: path for path in folder.glob("*.json")}


def _refuse_unknown(name: str, section: str, values: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(
            f"architecture {name!r}: {section} sets {', '.join(unknown)}, which is not a plain CLIP tower"
        )
