"""A folder with `annotations.jsonl`: one JSON object per line, media paths relative to the folder.

| key                                    | meaning                                                                |
|----------------------------------------|------------------------------------------------------------------------|
| `id`                                   | sample id: letters, digits, `-`, `_`                                   |
| `video`, `image`, `audio`              | path                                                                   |
| `depth`, `infrared` (also `thermal`)   | path, or a list of up to eight key frames                              |
| `captions`                             | list of texts of equal standing                                        |
| `label`                                | class name                                                             |
| `split`                                | optional; without it the split is drawn from the id                    |
| `source`, `license`                    | optional, kept with the sample                                         |
| any other key with a string value      | a class name of the label set of that name, e.g. `scene`               |

Underscores in class names become spaces, since a class name is a phrase that a prompt can take.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raybind.construction.sources.base import (
    SeededSplit,
    SourceItem,
    file_type,
    make_metadata,
    mark_problems,
    read_media,
)
from raybind.data.media_headers import has_key_frames
from raybind.data.sample import MAX_KEY_FRAMES, Sample, UnpackableSample
from raybind.data.storage import Storage
from raybind.errors import ConfigError
from raybind.modalities import modality_names

ANNOTATIONS_NAME = "annotations.jsonl"

_MEDIA_KEYS = {modality: modality for modality in modality_names()} | {"thermal": "infrared"}
_KEPT_KEYS = ("source", "license")
_NOT_LABELS = {*_MEDIA_KEYS, *_KEPT_KEYS, "id", "split", "captions"}


@dataclass(frozen=True)
class JsonlSource:
    """The samples of one such folder."""

    storage: Storage
    annotations: str
    split: SeededSplit

    @property
    def name(self) -> str:
        """The annotation file."""
        return f"jsonl {self.storage.root}/{self.annotations}"

    @property
    def modalities(self) -> tuple[str, ...]:
        """All there are."""
        return modality_names()

    def plan(self) -> list[SourceItem]:
        """One item per line, in the order of the file. Raises: ConfigError: no folder or annotation file."""
        self.storage.check_readable()
        return mark_problems(self._items())

    def load(self, item: SourceItem, modality: str) -> Sample:
        """Read one modality. Raises: UnpackableSample."""
        record = item.record
        kept = {key: record[key] for key in _KEPT_KEYS if record.get(key) is not None}
        texts = {"captions": record.get("captions") or ()}
        metadata = make_metadata({"id": item.id, "texts": texts, "labels": _labels(record), **kept})
        media = read_media(self.storage, _files(record, modality))
        return Sample(metadata, item.split, {modality: media})

    def _items(self) -> Iterator[SourceItem]:
        try:
            lines = self.storage.read(self.annotations).decode().splitlines()
        except FileNotFoundError:
            raise ConfigError(
                f"{self.storage.root} has no {self.annotations}; source.location must be a folder that holds it"
            ) from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield self._item(f"{self.annotations}:{number}", line)

    def _item(self, place: str, line: str) -> SourceItem:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            return SourceItem(place, "train", self.modalities, problem="annotation line is not JSON")
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            return SourceItem(place, "train", self.modalities, problem="annotation line has no id")
        announced = {modality for key, modality in _MEDIA_KEYS.items() if record.get(key)}
        split = record.get("split") or self.split.of(record["id"])
        return SourceItem(record["id"], str(split), tuple(sorted(announced)), record)


def _labels(record: dict[str, Any]) -> dict[str, str]:
    return {
        key: value.replace("_", " ")
        for key, value in record.items()
        if isinstance(value, str) and value and key not in _NOT_LABELS
    }


def _files(record: dict[str, Any], modality: str) -> list[tuple[str, str]]:
    """Suffix and storage key of each media file of a modality."""
    value = next(record[key] for key, name in _MEDIA_KEYS.items() if name == modality and record.get(key))
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) for path in paths):
        raise UnpackableSample(f"annotation does not fit: {modality} is not a path")
    types = [file_type(modality, path) for path in paths]
    if not has_key_frames(modality):
        return list(zip(types, paths, strict=True))
    if len(paths) > MAX_KEY_FRAMES:
        raise UnpackableSample(f"{len(paths)} key frames of {modality}; at most {MAX_KEY_FRAMES} can be stored")
    return [(f"{frame}.{kind}", path) for frame, (kind, path) in enumerate(zip(types, paths, strict=True))]
