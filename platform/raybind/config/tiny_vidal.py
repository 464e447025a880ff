"""Configuration of TinyVIDAL, the generated data set behind the demo, the tests and small sweeps."""

from typing import Literal

from pydantic import Field, field_validator

from raybind.config.base import Config

TinyVidalModality = Literal["video", "infrared", "depth", "audio", "image"]


class TinyVidalConfig(Config):
    """How many samples of which modalities to make, and from which seed."""

    seed: int = Field(default=0, ge=0)
    """Draws the samples. The attribute pairs held out for the test are the same for every seed, so a base pretrained
    on one seed has not seen the test classes of another."""
    num_train: int = Field(default=3072, ge=0)
    """Samples of the split `train`; a multiple of 48 balances every seen pair exactly."""
    num_val: int = Field(default=288, ge=0)
    """Samples of the split `val`: other samples of the pairs seen in training."""
    num_test: int = Field(default=384, ge=0)
    """Samples of the split `test`: held-out pairs only; a multiple of 16 balances every class exactly."""
    image_size_px: int = Field(default=112, ge=32, le=448, multiple_of=2)
    """Height and width of frames, depth maps and infrared images, pixels (even, as the video codec needs)."""
    num_frames: int = Field(default=8, ge=1, le=8)
    """Video frames, and key frames of depth and infrared (eight in LanguageBind, Sec. 4.3)."""
    modalities: tuple[TinyVidalModality, ...] = ("video", "infrared", "depth", "audio", "image")
    """Modalities to render; leaving some out saves time and changes nothing in the others."""

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: tuple[TinyVidalModality, ...]) -> tuple[TinyVidalModality, ...]:
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError("name at least one modality, and each only once")
        return modalities
