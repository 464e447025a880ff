"""What one VIDAL sample is: its texts, its labels and its media, before it is packed or after it is read.

In a shard `<root>/<modality>/<split>-NNNNNN.tar` a sample is the run of tar members that share the key `<id>`:
`<id>.json` (a `SampleMetadata`) first, then the media of that one modality:

| modality | members                                                                              |
|----------|--------------------------------------------------------------------------------------|
| video    | `<id>.mp4`, `.webm`, `.mkv` or `.avi`                                                |
| image    | `<id>.jpg` or `<id>.png`                                                             |
| depth    | `<id>.0.png` .. `<id>.7.png`: 16-bit greyscale, millimetres, 0 = missing; key frame i |
| infrared | `<id>.0.jpg` .. `<id>.7.jpg`, `.png` or `.tif`: key frame i                          |
| audio    | `<id>.wav`, `.flac`, `.ogg` or `.mp3`                                                |

Key frame i of depth and infrared belongs to key-frame caption i.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from raybind.errors import DataError

MAX_KEY_FRAMES = 8
"""Key frames a sample has at most (LanguageBind, Sec. 4.3 and the official VIDAL annotations)."""

SampleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]+$")]
"""No dot and no slash: WebDataset splits a member's name at its first dot into key and suffix."""


class Texts(BaseModel):
    """The multi-view texts of a sample (LanguageBind, Sec. 4.3); any may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw: str | None = None
    """Title and hashtags as published (official key `raw`)."""
    keyframes: tuple[str | None, ...] = ()
    """Caption of key frame i at place i, up to eight (official key `ofa`)."""
    video: str | None = None
    """Video caption (official key `mplug`)."""
    enhanced: str | None = None
    """Video caption refined by a language model (official key `polish_mplug`)."""
    sound: str | None = None
    """What is heard (official key `sound_mplug`)."""
    captions: tuple[str, ...] = ()
    """Captions of the whole sample of equal standing, as data sets outside VIDAL carry them."""


class SampleMetadata(BaseModel):
    """The `<id>.json` member of a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: SampleId
    texts: Texts = Texts()
    labels: dict[str, str] = {}
    """Class name by label set, e.g. `{"scene": "bedroom"}`; class names are phrases a prompt can take."""
    classes: tuple[str, ...] = ()
    """All class names of a sample that may have several, as a benchmark's do."""
    source: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class MediaFile:
    """One media member: `suffix` is what follows `<id>.` in the tar (`mp4`, `0.png`, `flac`), `data` its bytes."""

    suffix: str
    data: bytes


@dataclass(frozen=True)
class Sample:
    """A sample with all its modalities, as a source yields it to the packer."""

    metadata: SampleMetadata
    split: str
    media: Mapping[str, tuple[MediaFile, ...]]
    """Modality name to its media members; a modality the sample lacks is absent."""


class UnpackableSample(DataError):
    """A sample, or one modality of it, that cannot be stored in a shard.

    Args:
        cause: what is wrong, worded alike for alike samples, so that a report can count by cause.
        file: the file at fault, where one is.
    """

    def __init__(self, cause: str, file: str | None = None) -> None:
        super().__init__(cause if file is None else f"{cause} ({file})")
        self.cause = cause
        self.file = file
