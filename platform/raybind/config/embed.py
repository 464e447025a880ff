"""Configuration of `raybind embed` (`jobs/embed.py`)."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from raybind.config.base import Config


class EmbedConfig(Config):
    """Media and texts to unit vectors in a Parquet file."""

    model: str | dict[str, str]
    """Export, official LanguageBind or Hugging Face CLIP directory, or hub id; or several, by modality:
    `model.depth=exports/depth model.audio=LanguageBind/LanguageBind_Audio`."""
    media: dict[str, tuple[str, ...]] = Field(default={})
    """By modality (`media.depth=[...]`): files, folders (searched whole, for the modality's file types) and patterns
    (`shots/*.png`)."""
    texts: tuple[str, ...] = ()
    """Texts to embed."""
    text_file: str | None = None
    """File of further texts, UTF-8, one a line."""
    output: str
    """Parquet file to write: id (path or text), modality, embedding (list of float32)."""
    batch_size: int = Field(default=32, ge=1)
    """Items encoded at once; changes nothing but speed and memory."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`; null takes a GPU where there is one."""

    @field_validator("media", mode="before")
    @classmethod
    def _one_place(cls, media: Any) -> Any:
        if not isinstance(media, dict):
            return media
        return {modality: (places,) if isinstance(places, str) else places for modality, places in media.items()}

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if not self.media and not self.texts and self.text_file is None:
            raise ValueError("nothing to embed: set media.<modality>, texts or text_file")
        return self
