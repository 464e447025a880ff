"""Configuration of what is read: the data set, the texts and the preprocessing."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from raybind.config.base import Config

TextSource = Literal["raw", "keyframe", "video", "enhanced", "sound", "caption", "mix"]


def _has_one_place(template: str) -> str:
    if template.count("{}") != 1:
        raise ValueError("a prompt template must hold {} exactly once, where the class name goes")
    return template


PromptTemplate = Annotated[str, AfterValidator(_has_one_place)]
"""A text with one `{}`, where the class name goes."""


class VideoConfig(Config):
    """Which frames of a clip are looked at. Frames are resized bilinearly, as in the official code."""

    num_frames: int = Field(default=8, ge=1)
    """Frames T of a clip, evenly spaced from its first to its last (Table 12: 8; CLIP4Clip 12)."""
    stretch: tuple[int, int] = (0, 1)
    """Which of how many equal stretches of a file the frames are from, counted from 0 (multi-view testing); the clip is
    the whole file by default."""
    flip: bool = False
    """Mirror a clip with probability 0.5 in training. The official code always does, at evaluation too; ours never
    does at evaluation, and by default not in training, because captions say left and right."""
    max_frames: int = Field(default=18_000, ge=1)
    """Frames a file may have, ten minutes at 30 a second: all are decoded to reach those that are looked at."""

    @field_validator("stretch")
    @classmethod
    def _one_of_them(cls, stretch: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= stretch[0] < stretch[1]:
            raise ValueError(f"stretch {stretch[0]} of {stretch[1]}: the first number counts from 0 and is the smaller")
        return stretch


class InfraredConfig(Config):
    """What the stored values mean."""

    value_range: tuple[float, float] | None = None
    """Stored values that become 0 and 1; null: the full range of the stored type, 0 to 255 for 8 bits and 0 to 65535
    for 16 (floating point: 0 to 1). Set it for radiometric counts, [0, 16383] for a 14-bit camera, or temperatures."""

    @field_validator("value_range")
    @classmethod
    def _has_extent(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError("the first value becomes 0 and the second 1, so the first must be less")
        return value_range


class DepthConfig(Config):
    """What the stored millimetres become."""

    max_metres: float | None = Field(default=10.0, gt=0.01)
    """Depth that becomes 1; what is farther is cut (LanguageBind, Appendix C: 10 m). null: the largest depth of each
    image (the official code's max_depth 0)."""


class AudioConfig(Config):
    """From a waveform to a log-mel spectrogram of three channels (LanguageBind, Sec. 3.1)."""

    sample_rate_hz: int = Field(default=16_000, ge=8_000, le=48_000, multiple_of=25)
    """What sound is resampled to (official code, as ImageBind)."""
    num_mel_bins: int = Field(default=112, ge=4, le=256)
    """Mel bins, the height of the encoder's input, a multiple of its patch. The paper has 128, no multiple of the patch
    14; the official audio script trains with 126, the published weights take 112, which is therefore ours."""
    target_length: int = Field(default=1036, ge=1)
    """Spectrogram frames of 10 ms, the width of the encoder's input, a multiple of its patch (official code: 1036,
    10.4 seconds; the paper's 10 seconds are no multiple of 14)."""
    short: Literal["repeat_and_cut", "repeat_and_pad"] = "repeat_and_cut"
    """A shorter spectrogram is repeated and cut at the target (official code, and what the published weights were
    trained on), or repeated whole and the rest padded with zeros (the paper's Sec. 3.1)."""
    mean: float = -4.2677393
    """Of the log-mel values (official audio script; AudioSet's mean as the AST paper has it)."""
    std: float = Field(default=4.5689974, gt=0)
    """Of the log-mel values, same source; they become (x - mean) / (2 * std)."""
    max_samples: int = Field(default=2**26, ge=1)
    """Samples of all channels that a file may hold: 11 minutes of stereo at 48 kHz, 256 MiB while it is read."""


class PreprocessConfig(Config):
    """From media to the encoder's input; the same in packing checks, training, evaluation and inference.

    Every checkpoint stores it. Evaluation and inference draw nothing: no flip, and the middle of each third for the
    crops of a long sound, where the official code draws both even then, so that the same file always gives the same
    embedding.
    """

    short_edge: int | None = Field(default=None, ge=1)
    """Short edge after resizing, pixels, before the centre crop; null: the encoder's image size, as the official code
    has it for all modalities (the paper's Appendix B resizes depth and infrared to 256 for a crop of 224)."""
    crop: Literal["centre", "start", "end"] = "centre"
    """What is kept of the longer edge; start and end are for multi-crop testing."""
    antialias: bool = True
    """Resize with antialiasing. The official code and its published weights go without, so false is the official
    behaviour; ours keeps what a large picture shows from breaking up."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, of values in [0, 1], all modalities but audio (OpenAI CLIP)."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Per channel, all modalities but audio (OpenAI CLIP)."""
    max_pixels: int = Field(default=2**25, ge=1)
    """Pixels that a picture or frame may have, 33.5 million (one of 8K video); decoding takes up to 20 bytes for
    each."""
    video: VideoConfig = VideoConfig()
    infrared: InfraredConfig = InfraredConfig()
    depth: DepthConfig = DepthConfig()
    audio: AudioConfig = AudioConfig()


class DataConfig(Config):
    """The shards and how samples are drawn from them."""

    root: str
    """Local folder or `s3://bucket/prefix` that holds `<modality>/manifest.json`."""
    modality: str
    """Modality to bind to language."""
    train_split: str = "train"
    """Split that is trained on."""
    text_source: TextSource = "enhanced"
    """Which of the multi-view texts a sample is paired with (Table 13: enhanced for depth and video); mix draws one of
    VIDAL's five views each time, as the official loader."""
    text_embeddings: Literal["computed", "cached"] = "computed"
    """computed: the language encoder runs in every step. cached: a frozen one has run before, over all texts of the
    data set (jobs/embed_text.py), and training holds none."""
    shuffle_window_shards: int = Field(default=64, ge=1)
    """Shards whose samples are shuffled together."""
    max_bad_sample_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of unreadable samples above which training stops; up to it they are skipped and counted by cause."""
    skip_list: str | None = None
    """JSON lines with the `id` of samples that are never trained on, as jobs/audit.py and a run's quarantine.jsonl have
    them: a local path or s3://bucket/key. They are left out of the epoch order, not skipped on the way."""
    preprocess: PreprocessConfig = PreprocessConfig()
