"""What is trained: the base it starts from, how it is tuned, masked and scaled."""

from typing import Literal, Self

from pydantic import Field, model_validator

from raybind.config.base import Config


class BaseConfig(Config):
    """The pretrained image-language model an encoder starts from."""

    architecture: str = "ViT-L-14"
    """open_clip architecture name, or path of a JSON file in open_clip's format (paper: OpenCLIP ViT-L/14)."""
    weights: str | None = "laion2b_s32b_b82k"
    """open_clip pretrained tag, or path of an open_clip weights file; null starts from random weights."""


class LoraConfig(Config):
    """Low-rank adaptation of the attention projections (LanguageBind, Eq. (2), Table 12)."""

    rank: int = Field(default=2, ge=1)
    """r: 2 for depth and infrared, 16 for video and audio (Table 12)."""
    alpha: int = Field(default=16, ge=1)
    """The update is scaled by alpha / rank (Table 12)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Probability on the input of A (Table 12; the official scripts train with 0)."""
    targets: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Linear layers that are adapted, as their names end (`mlp.fc1`, `v_proj`); null: the four projections of the
    temporal attention where the encoder has it, else of the attention over patches (Sec. 3.2; official code)."""


class TemperatureConfig(Config):
    """tau of Eq. (3); the model stores ln(1 / tau) as logit_scale."""

    init: float = Field(default=0.07, gt=0.01, le=1)
    """Value at the start (official scripts: 0.07); above 0.01, where logit_scale is clamped."""
    learnable: bool = True
    """Whether it is trained (Table 12) or stays at `init`."""


class ModelConfig(Config):
    """The modality encoder and its language encoder, frozen unless `train_language` is set."""

    base: BaseConfig = BaseConfig()
    tuning: Literal["lora", "attention", "full", "scratch"] = "lora"
    """LoRA; the layers LoRA would adapt, trained themselves (official FT and V1.5 weights); every encoder parameter;
    or every encoder parameter from random weights (Table 8c: lora, full, scratch)."""
    lora: LoraConfig = LoraConfig()
    """Acts with `tuning` lora; its targets with attention too."""
    train_language: bool = False
    """Whether the language encoder trains too: true to pretrain a base, and for CLIP4Clip (Table 12)."""
    context_length: int | None = Field(default=None, ge=3)
    """Longest text in tokens, start and end included; null: the base's, 77 (CLIP4Clip: 32, Table 12)."""
    temporal_attention: bool = True
    """Whether blocks also attend over the frames of a clip; false: the mean over frames alone, as CLIP4Clip. Acts
    where the modality has frames."""
    frame_class_tokens: bool = False
    """Whether each frame has a class token of its own (official V1.5 video, `clip_type` vl_new)."""
    mask_ratio: float = Field(default=0.5, ge=0, lt=1)
    """Share of patches hidden in training: 0.5 for depth and infrared, 0.3 for video and audio (Table 12)."""
    temperature: TemperatureConfig = TemperatureConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.base.weights is None and not self.train_language:
            raise ValueError(
                "model.base.weights=None leaves the language encoder random, and model.train_language=False freezes it "
                "so; name the weights of a base, or train the language encoder too"
            )
        if self.train_language and self.tuning in ("lora", "attention"):
            raise ValueError(
                f"model.train_language=True trains a whole model, but model.tuning={self.tuning!r} freezes most of its "
                "encoder; set model.tuning=full"
            )
        return self
