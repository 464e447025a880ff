"""A trained modality encoder as plain values: what every checkpoint layout is read into and written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from raybind.config.data import PreprocessConfig
from raybind.config.model import LoraConfig
from raybind.model.architecture import ClipArchitecture
from raybind.model.bound import BoundModel, default_targets
from raybind.model.lora import inject_lora, merged
from raybind.model.start import check_fit
from raybind.model.weights_file import State


@dataclass(frozen=True)
class TrainedEncoder:
    """One modality's encoder with the language encoder it is bound to."""

    modality: str
    arch: ClipArchitecture
    lora: LoraConfig | None
    """LoRA beside the weights; None: there is none, or it is merged into them."""
    state: State
    """As `BoundModel` names them, with peft's names where there is LoRA; float32, CPU."""
    preprocess: PreprocessConfig
    prompts: tuple[str, ...] = ()
    """Templates of zero-shot classification, with `{}` for the class name."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where it comes from, for people to read."""

    def build(self) -> BoundModel:
        """The model in evaluation mode, on the CPU; it shares the tensors. Raises: ConfigError: tensors do not fit."""
        model = empty_model(self.arch, self.lora)
        check_fit(self.state, model.state_dict(), f"weights of the {self.modality} encoder")
        model.load_state_dict(self.state, assign=True)
        return model.requires_grad_(False).eval()

    def merged(self) -> "TrainedEncoder":
        """The same encoder with LoRA added to the weights it adapts (Eq. (2))."""
        if self.lora is None:
            return self
        return replace(self, lora=None, state=merged(self.state, self.lora.rank, self.lora.alpha))


def empty_model(arch: ClipArchitecture, lora: LoraConfig | None) -> BoundModel:
    """The model without any memory for its tensors."""
    with torch.device("meta"):
        model = BoundModel(arch)
        if lora is not None:
            targets = lora.targets or default_targets(arch)
            inject_lora(model.encoder, lora.rank, lora.alpha, lora.dropout, targets)
    return model
