"""What the packer asks of a source of samples, and the helpers that file-based sources share."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from raybind.data.media_headers import media_types, type_of_name
from raybind.data.sample import MediaFile, Sample, SampleId, SampleMetadata, UnpackableSample
from raybind.data.storage import Storage

_SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+")
_SAMPLE_ID: TypeAdapter[str] = TypeAdapter(SampleId)


@dataclass(frozen=True)
class SourceItem:
    """A sample as the listing of its source shows it, before any media are read. All of it is plain JSON."""

    id: str
    split: str
    modalities: tuple[str, ...]
    """Modalities the source announces for it; the others are absent."""
    record: dict[str, Any] = field(default_factory=dict)
    """What the source needs to load it; nobody else reads it."""
    problem: str | None = None
    """Why it cannot be packed, where the listing shows that already."""


class Source(Protocol):
    """A set of samples to pack. It is sent to the packing tasks, so it must be picklable and hold no open file."""

    @property
    def name(self) -> str:
        """What it is and where; sources of different samples have different names."""
        ...

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that this kind of source can have."""
        ...

    def plan(self) -> list[SourceItem]:
        """List all samples without reading media, always in the same order. Raises: ConfigError."""
        ...

    def load(self, item: SourceItem, modality: str) -> Sample:
        """Read the metadata and the media of one modality; other modalities may be left out of the result.

        Raises:
            UnpackableSample: with the cause, when this modality of the item cannot be packed.
        """
        ...


@dataclass(frozen=True)
class SeededSplit:
    """Train or val by a hash of the id: a sample keeps its split whatever else is in the source."""

    seed: int
    val_fraction: float

    def of(self, sample_id: str) -> str:
        """`train` or `val`."""
        digest = hashlib.sha256(f"{self.seed}:{sample_id}".encode()).digest()
        return "val" if int.from_bytes(digest[:8], "big") < self.val_fraction * 2**64 else "train"


def mark_problems(items: Iterable[SourceItem]) -> list[SourceItem]:
    """The items, with `problem` set on those whose id or split no shard can hold, and on the later of two equal ids."""
    seen: set[str] = set()
    checked = []
    for item in items:
        problem = item.problem or _problem(item, seen)
        seen.add(item.id)
        checked.append(SourceItem(item.id, item.split, item.modalities, item.record, problem))
    return checked


def read_media(storage: Storage, files: Sequence[tuple[str, str]]) -> tuple[MediaFile, ...]:
    """Read (suffix, key) pairs. Raises: UnpackableSample: a file is missing or may not be read; OSError: no storage."""
    return tuple(MediaFile(suffix, _read(storage, key)) for suffix, key in files)


def file_type(modality: str, name: str) -> str:
    """The shard format's file type of a file name. Raises: UnpackableSample: the modality has no such type."""
    found = type_of_name(name) or "without suffix"
    if found not in media_types(modality):
        raise UnpackableSample(f"{modality} of type {found}; convert to {' or '.join(media_types(modality))}", name)
    return found


def make_metadata(values: dict[str, Any]) -> SampleMetadata:
    """Sample metadata from annotation values. Raises: UnpackableSample: a text or label is not a string."""
    try:
        return SampleMetadata.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise UnpackableSample(f"annotation does not fit: {place}: {problem['msg']}") from None


def _problem(item: SourceItem, seen: set[str]) -> str | None:
    try:
        _SAMPLE_ID.validate_python(item.id)
    except ValidationError:
        return "id has characters other than letters, digits, - and _"
    if item.id in seen:
        return "id was used by an earlier sample"
    if not _SPLIT_NAME.fullmatch(item.split):
        return "split has characters other than letters, digits and _"
    return None


def _read(storage: Storage, key: str) -> bytes:
    try:
        return storage.read(key)
    except PermissionError:
        raise UnpackableSample("no permission to read the file", key) from None
    except OSError:
        if storage.exists(key):
            raise
        raise UnpackableSample("file is missing", key) from None
