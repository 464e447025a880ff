"""Several modality encoders and the one language encoder they are bound to: one space, at the level of tensors.

Media are read and turned into tensors by `raybind.inference`.

Legend: B batch, L tokens of a text, E embedding_dim.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raybind.errors import ConfigError, DataError
from raybind.model.text import LanguageEncoder
from raybind.model.trained import TrainedEncoder
from raybind.model.vision import ModalityEncoder


class LanguageBindModel(nn.Module):
    """N modalities and language in one space (LanguageBind, Fig. 3); every embedding is a unit vector, float32."""

    def __init__(
        self, encoders: Mapping[str, ModalityEncoder], language: LanguageEncoder, logit_scales: Mapping[str, Tensor]
    ) -> None:
        """Take encoders as they are; `join` checks that they share their language encoder.

        Args:
            logit_scales: of each modality, ln(1 / tau), shape (1,).
        """
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.language = language
        self.logit_scales = nn.ParameterDict(logit_scales)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it encodes beside text."""
        return tuple(self.encoders)

    def encode(self, modality: str, pixel_values: Tensor) -> Tensor:
        """Embed transformed media.

        Args:
            pixel_values: (B, 3, H, W), or (B, 3, T, H, W) of clips, float32, as the modality's transform makes them.
        Returns: (B, E).
        Raises:
            ConfigError: there is no encoder of that modality.
            DataError: another shape than the encoder's.
        """
        self.check_modality(modality)
        return self.encoders[modality](pixel_values)

    def encode_text(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None = None) -> Tensor:
        """Embed token ids.

        A text is read from its first token to its end token, the largest id; what follows is padding, whatever its
        ids are, so the mask of Hugging Face's tokenizers is taken but tells nothing new.

        Args:
            input_ids_BL: int64, start token first.
            attention_mask_BL: 1 for tokens, 0 for padding.
        Returns: (B, E).
        Raises: DataError: the mask hides tokens before the end token, or texts are longer than the context.
        """
        context_length = len(self.language.position_embedding)
        if input_ids_BL.shape[1] > context_length:
            raise DataError(f"texts of {input_ids_BL.shape[1]} tokens; the language encoder reads {context_length}")
        if attention_mask_BL is not None:
            places = torch.arange(input_ids_BL.shape[1], device=input_ids_BL.device)
            read = places <= input_ids_BL.argmax(dim=1, keepdim=True)
            if (read & (attention_mask_BL == 0)).any():
                raise DataError("attention_mask hides tokens before the end token; pad texts on the right")
        return self.language(input_ids_BL)

    def scale(self, modality: str) -> float:
        """exp(logit_scale) = 1 / tau, what cosines of this modality and text are multiplied by in training."""
        self.check_modality(modality)
        return self.logit_scales[modality].float().exp().item()

    def check_modality(self, modality: str) -> None:
        """Raises: ConfigError: there is no encoder of that modality."""
        if modality not in self.encoders:
            hint = "; the official code's thermal is infrared here" if modality == "thermal" else ""
            raise ConfigError(f"no encoder of {modality!r}; there are encoders of {', '.join(self.modalities)}{hint}")


def join(encoders: Sequence[TrainedEncoder]) -> LanguageBindModel:
    """One model of several trained encoders, on the CPU in evaluation mode; LoRA is merged, which is faster.

    Raises: ConfigError: their language encoders differ, so that they are not in one space.
    """
    first = encoders[0]
    for other in encoders[1:]:
        _check_one_space(first, other)
    models = {encoder.modality: encoder.merged().build() for encoder in encoders}
    language = models[first.modality].language
    assert isinstance(language, LanguageEncoder)
    return LanguageBindModel(
        {modality: model.encoder for modality, model in models.items()},
        language,
        {modality: model.logit_scale for modality, model in models.items()},
    ).eval()


def _check_one_space(first: TrainedEncoder, other: TrainedEncoder) -> None:
    remedy = (
        f"the {first.modality} and {other.modality} encoders are bound to different language encoders, so their "
        "embeddings cannot be compared; load them one by one"
    )
    if (first.arch.text, first.arch.embedding_dim) != (other.arch.text, other.arch.embedding_dim):
        raise ConfigError(f"{remedy}: {first.arch.text} and {other.arch.text}")
    for name, value in first.state.items():
        if name.startswith("language.") and not torch.equal(value, other.state[name]):
            raise ConfigError(f"{remedy}: {name} differs")
