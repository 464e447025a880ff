"""What a benchmark's source asks of the reader of one annotation format."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from raybind.data.sample import MediaFile


@dataclass(frozen=True)
class ListedItem:
    """An item as the annotations list it; no media are read yet. All of it is plain JSON."""

    key: str
    """What the data set calls it, any characters; unique."""
    modalities: tuple[str, ...]
    captions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """In the data set's own names."""
    record: dict[str, Any] = field(default_factory=dict)
    """What the reader needs to load it."""


class BenchmarkReader(Protocol):
    """Reads one annotation format below one folder. Picklable, and holds no open file."""

    def items(self) -> Iterator[ListedItem]:
        """All items, always in the same order. Raises: ConfigError: annotations are missing or of another form."""
        ...

    def load(self, record: dict[str, Any], modality: str) -> tuple[MediaFile, ...]:
        """The media of one modality of one item. Raises: UnpackableSample: with the cause."""
        ...
