"""One modality bound to language: its encoder, the language encoder and the temperature between them.

Legend: B batch, C channels, M kept patches, L tokens, E embedding_dim.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from raybind.config.model import ModelConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture, read_architecture, shaped
from raybind.model.base import Base, load_base
from raybind.model.input_shape import InputShape
from raybind.model.lora import inject_lora
from raybind.model.text import LanguageEncoder
from raybind.model.vision import ModalityEncoder

MAX_LOGIT_SCALE = math.log(100)
"""Upper bound of logit_scale (CLIP, Sec. 2.5); the lower bound is 0."""


class Features(NamedTuple):
    """What the contrastive loss compares."""

    modality_BE: Tensor
    """Unit-norm, float32."""
    text_BE: Tensor
    """Unit-norm, float32."""
    scale: Tensor
    """(1,) exp(logit_scale) = 1 / tau."""


class BoundModel(nn.Module):
    """Modality encoder, language encoder and logit_scale = ln(1 / tau).

    logit_scale has shape (1,): DeepSpeed cannot partition a parameter without dimensions.
    """

    def __init__(self, arch: ClipArchitecture) -> None:
        super().__init__()
        self.arch = arch
        self.encoder = ModalityEncoder(arch.vision, arch.embedding_dim)
        self.language = LanguageEncoder(arch.text, arch.embedding_dim)
        self.logit_scale = nn.Parameter(torch.empty(1))

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts."""
        self.encoder.init_weights()
        self.language.init_weights()

    def forward(self, pixel_values_BCHW: Tensor, input_ids_BL: Tensor, kept_BM: Tensor | None = None) -> Features:
        """Encode a batch of pairs; see `ModalityEncoder` and `LanguageEncoder` for shapes."""
        return Features(
            self.encoder(pixel_values_BCHW, kept_BM), self.language(input_ids_BL), self.logit_scale.float().exp()
        )


def build_model(config: ModelConfig, seed: int, shape: InputShape | None = None) -> tuple[BoundModel, str | None]:
    """Build the model as it stands before the first step.

    Args:
        seed: for whatever starts random (LoRA's A; everything when trained from scratch).
        shape: what the encoder is fed; None: the base's square image.
    Returns: the model on the CPU in float32 with `requires_grad` set as the tuning says, and the base's fingerprint.
    Raises: ConfigError: the base cannot be loaded, or its tensors are not the architecture's.
    """
    arch = shaped(read_architecture(config.base.architecture), shape)
    base = load_base(arch, config.base.weights) if config.base.weights is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BoundModel(arch)
        model.init_weights()
        if base is not None:
            _load(model, base, skip_encoder=config.tuning == "scratch")
        apply_tuning(model, config)
    with torch.no_grad():
        model.logit_scale.fill_(-math.log(config.temperature.init))
    return model, base.fingerprint if base is not None else None


def apply_tuning(model: BoundModel, config: ModelConfig) -> None:
    """Inject LoRA where it is used and decide which parameters train.

    With LoRA these train beside it: class_embedding, post_layernorm, visual_projection and logit_scale (what the
    official "lock image" leaves free).
    """
    model.language.requires_grad_(config.train_language)
    model.logit_scale.requires_grad_(config.temperature.learnable)
    if config.tuning != "lora":
        return
    vision = model.encoder.vision
    inject_lora(model.encoder, config.lora.rank, config.lora.alpha, config.lora.dropout)
    vision.class_embedding.requires_grad_(True)
    vision.post_layernorm.requires_grad_(True)
    model.encoder.visual_projection.requires_grad_(True)


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that train, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def parameter_table(model: nn.Module) -> list[tuple[str, int]]:
    """Trainable parameters per part, largest first, for people to read."""
    counts: dict[str, int] = {}
    for name, parameter in trainable_parameters(model).items():
        counts[_part(name)] = counts.get(_part(name), 0) + parameter.numel()
    return sorted(counts.items(), key=lambda row: -row[1])


def describe_model(config: ModelConfig, shape: InputShape | None = None) -> list[tuple[str, int]]:
    """`parameter_table` without loading or allocating any weight."""
    with torch.device("meta"):
        model = BoundModel(shaped(read_architecture(config.base.architecture), shape))
        apply_tuning(model, config)
    return parameter_table(model)


def _part(name: str) -> str:
    if "lora_" in name:
        return "LoRA"
    parts = name.split(".")
    if parts[0] == "language":
        return "language encoder"
    if "layers" in parts:
        return "transformer blocks"
    return next(part for part in reversed(parts) if part not in ("weight", "bias"))


def _load(model: BoundModel, base: Base, skip_encoder: bool) -> None:
    state = {name: value for name, value in base.state.items() if not (skip_encoder and name.startswith("encoder."))}
    expected = {name: value.shape for name, value in model.state_dict().items()}
    if skip_encoder:
        expected = {name: shape for name, shape in expected.items() if not name.startswith("encoder.")}
    problems = [f"missing {name}" for name in sorted(expected.keys() - state.keys())]
    problems += [f"unexpected {name}" for name in sorted(state.keys() - expected.keys())]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, the architecture {tuple(expected[name])}"
        for name in sorted(expected.keys() & state.keys())
        if state[name].shape != expected[name]
    ]
    if problems:
        raise ConfigError("base weights do not fit the architecture:\n" + "\n".join(problems))
    model.load_state_dict(state, strict=False)
