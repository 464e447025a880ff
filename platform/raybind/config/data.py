"""Configuration of what is read: the data set, the texts and the preprocessing."""

from typing import Literal

from pydantic import Field

from raybind.config.base import Config

TextSource = Literal["raw", "keyframe", "video", "enhanced", "sound", "caption"]


class PreprocessConfig(Config):
    """From decoded media to the encoder's input; the same in training, evaluation and inference."""

    short_edge: int | None = Field(default=None, ge=1)
    """Short edge after resizing, pixels, before the centre crop; null: the encoder's image size, as the official code
    has it (the paper's Appendix B resizes to 256 for a crop of 224)."""
    antialias: bool = True
    """Bicubic resizing with antialiasing; the official code ran without."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, of values in [0, 1] (OpenAI CLIP)."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Per channel (OpenAI CLIP)."""
    max_depth_metres: float = Field(default=10.0, gt=0)
    """Depth that becomes 1; what is farther is cut (LanguageBind, Appendix C)."""


class DataConfig(Config):
    """The shards and how samples are drawn from them."""

    root: str
    """Local folder or `s3://bucket/prefix` that holds `<modality>/manifest.json`."""
    modality: str
    """Modality to bind to language."""
    train_split: str = "train"
    """Split that is trained on."""
    text_source: TextSource = "enhanced"
    """Which of the multi-view texts a sample is paired with (Table 13: enhanced for depth and video)."""
    shuffle_window_shards: int = Field(default=64, ge=1)
    """Shards whose samples are shuffled together."""
    max_bad_sample_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of unreadable samples above which training stops; up to it they are skipped and counted by cause."""
    preprocess: PreprocessConfig = PreprocessConfig()
