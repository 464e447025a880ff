"""One modality bound to language: its encoder, the language encoder and the temperature between them.

Legend: B batch, M kept patches, L tokens, E embedding_dim.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from raybind.config.model import ModelConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture, TextArchitecture, encoder_architecture, read_architecture
from raybind.model.base import State, load_base
from raybind.model.input_shape import InputShape
from raybind.model.lora import PROJECTIONS, adapted_layers, inject_lora
from raybind.model.start import check_fit, starting_state
from raybind.model.text import GivenEmbeddings, LanguageEncoder
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

    def __init__(self, arch: ClipArchitecture, with_language: bool = True) -> None:
        super().__init__()
        self.arch = arch
        self.encoder = ModalityEncoder(arch.vision, arch.embedding_dim)
        self.language = LanguageEncoder(arch.text, arch.embedding_dim) if with_language else GivenEmbeddings()
        self.logit_scale = nn.Parameter(torch.empty(1))

    def init_weights(self) -> None:
        """Random weights, as OpenAI's CLIP starts."""
        self.encoder.init_weights()
        if isinstance(self.language, LanguageEncoder):
            self.language.init_weights()

    def forward(self, pixel_values: Tensor, texts: Tensor, kept_BM: Tensor | None = None) -> Features:
        """Encode a batch of pairs; see `VisionTransformer`, `LanguageEncoder` and `GivenEmbeddings` for shapes."""
        return Features(self.encoder(pixel_values, kept_BM), self.language(texts), self.logit_scale.float().exp())


def build_model(
    config: ModelConfig, seed: int, shape: InputShape | None = None, with_language: bool = True
) -> tuple[BoundModel, str | None]:
    """Build the model as it stands before the first step.

    Args:
        seed: for whatever starts random (LoRA's A; everything when trained from scratch).
        shape: what the encoder is fed; None: the base's square image.
        with_language: False leaves the language encoder out, for training on given embeddings.
    Returns: the model on the CPU in float32 with `requires_grad` set as the tuning says, and the base's fingerprint.
    Raises: ConfigError: the base cannot be loaded, or its tensors are not the architecture's.
    """
    base_arch, arch = read_architecture(config.base.architecture), encoder_architecture(config, shape)
    base = load_base(base_arch, config.base.weights) if config.base.weights is not None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BoundModel(arch, with_language)
        model.init_weights()
        if base is not None:
            _start_from(model, base.state, base_arch, with_encoder=config.tuning != "scratch")
        # A stream of its own for LoRA: it starts the same with and without the language encoder.
        torch.manual_seed(seed)
        apply_tuning(model, config)
    with torch.no_grad():
        model.logit_scale.fill_(-math.log(config.temperature.init))
    return model, base.fingerprint if base is not None else None


def apply_tuning(model: BoundModel, config: ModelConfig) -> None:
    """Inject LoRA where it is used and decide which parameters train.

    With LoRA, and where its target layers train themselves, these train beside them: class_embedding, post_layernorm,
    visual_projection and logit_scale (what the official "lock image" leaves free), and the temporal embedding and its
    layer norm.

    Raises: ConfigError: a LoRA target that names no linear layer.
    """
    encoder, lora = model.encoder, config.lora
    model.language.requires_grad_(config.train_language)
    model.logit_scale.requires_grad_(config.temperature.learnable)
    targets = lora.targets or default_targets(model.arch)
    if config.tuning == "lora":
        inject_lora(encoder, lora.rank, lora.alpha, lora.dropout, targets)
    elif config.tuning == "attention":
        encoder.requires_grad_(False)
        for layer in adapted_layers(encoder, targets).values():
            layer.requires_grad_(True)
    else:
        return
    encoder.vision.class_embedding.requires_grad_(True)
    encoder.vision.post_layernorm.requires_grad_(True)
    encoder.visual_projection.requires_grad_(True)
    for name, parameter in encoder.named_parameters():
        if "temporal_embedding" in name or "temporal_layer_norm1" in name:
            parameter.requires_grad_(True)


def default_targets(arch: ClipArchitecture) -> tuple[str, ...]:
    """What LoRA adapts unless told: the attention over frames where there is one, else that over patches."""
    attention = "temporal_attn" if arch.vision.temporal_attention else "self_attn"
    return tuple(f"{attention}.{projection}" for projection in PROJECTIONS)


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
        model = BoundModel(encoder_architecture(config, shape))
        apply_tuning(model, config)
    return parameter_table(model)


def _part(name: str) -> str:
    if "lora_" in name:
        return "LoRA"
    parts = name.split(".")
    if parts[0] == "language":
        return "language encoder"
    if "layers" in parts:
        return "temporal attention" if "temporal" in name else "transformer blocks"
    return next(part for part in reversed(parts) if part not in ("weight", "bias"))


def _start_from(model: BoundModel, base: State, base_arch: ClipArchitecture, with_encoder: bool) -> None:
    """Load a base; without its encoder, the encoder stays as it is."""
    with torch.device("meta"):
        check_fit(base, BoundModel(base_arch).state_dict())
    state = starting_state(base, base_arch, model.arch)
    left_out = () if with_encoder else ("encoder.",)
    if isinstance(model.language, GivenEmbeddings):
        left_out += ("language.",)
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith(left_out)}, strict=False)


def load_language_encoder(config: ModelConfig) -> tuple[LanguageEncoder, TextArchitecture, str]:
    """A base's language encoder alone, frozen, on the CPU in evaluation mode.

    Returns: it, its sizes, and the base's fingerprint. Raises: ConfigError: as `build_model`, or there is no base.
    """
    if config.base.weights is None:
        raise ConfigError("model.base.weights=None has no language encoder to take embeddings from; name a base")
    base_arch, arch = read_architecture(config.base.architecture), encoder_architecture(config, None)
    base = load_base(base_arch, config.base.weights)
    with torch.device("meta"):
        check_fit(base.state, BoundModel(base_arch).state_dict())
    state = starting_state(base.state, base_arch, arch)
    encoder = LanguageEncoder(arch.text, arch.embedding_dim)
    encoder.load_state_dict(
        {name.removeprefix("language."): v for name, v in state.items() if name.startswith("language.")}
    )
    return encoder.requires_grad_(False).eval(), arch.text, base.fingerprint
