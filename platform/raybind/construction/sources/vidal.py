"""The official VIDAL layout: one annotation json for all samples, and media folders that its entries name.

    {"<id>": {"folder": "coco_vat_9", "raw": "title #hashtag", "ofa": ["...", x8], "mplug": "...",
              "polish_mplug": "...", "sound_mplug": "..."}}

    <location>/<folder>/<id>.mp4                                 video (or <folder>_resize256_skip15/<id>.mp4)
    <location>/<folder>/<id>_depth_f8glpn_folder/<0-7>.png       depth of key frame i, 16-bit, millimetres
    <location>/<folder>/<id>_thermal_folder/<0-7>.jpg            infrared of key frame i
    <location>/<folder>_ffmpeg_mp3/<id>.mp3                      audio (or .mp3, .wav, .m4a beside the video)

The first place that holds a file wins. `.m4a` is not in the shard format, so such a sample is reported, not packed.
Source: the official repository's data/base_datasets.py and the published annotations.
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
from raybind.data.media_headers import media_types
from raybind.data.sample import MAX_KEY_FRAMES, Sample, UnpackableSample
from raybind.data.storage import Storage
from raybind.errors import ConfigError

_TEXT_KEYS = {"raw": "raw", "ofa": "keyframes", "mplug": "video", "polish_mplug": "enhanced", "sound_mplug": "sound"}
_FILE_PLACES = {
    "video": ("{folder}/{id}.mp4", "{folder}_resize256_skip15/{id}.mp4"),
    "audio": ("{folder}_ffmpeg_mp3/{id}.mp3", "{folder}/{id}.mp3", "{folder}/{id}.wav", "{folder}/{id}.m4a"),
}
_KEY_FRAME_FOLDERS = {"depth": "{folder}/{id}_depth_f8glpn_folder", "infrared": "{folder}/{id}_thermal_folder"}
_PLACES = _FILE_PLACES | {modality: (folder,) for modality, folder in _KEY_FRAME_FOLDERS.items()}


@dataclass(frozen=True)
class VidalSource:
    """The samples of one annotation json."""

    storage: Storage
    annotations: str
    split: SeededSplit

    @property
    def name(self) -> str:
        """The annotation file."""
        return f"VIDAL {self.storage.root}/{self.annotations}"

    @property
    def modalities(self) -> tuple[str, ...]:
        """VIDAL has no still images beside its videos."""
        return tuple(_PLACES)

    def plan(self) -> list[SourceItem]:
        """One item per entry, in the order of the file; each media folder is listed once.

        Raises:
            ConfigError: no folder or annotation file, or the file is not a JSON object of entries.
        """
        self.storage.check_readable()
        return mark_problems(self._items())

    def load(self, item: SourceItem, modality: str) -> Sample:
        """Read one modality. Raises: UnpackableSample."""
        texts = {name: item.record[key] for key, name in _TEXT_KEYS.items() if item.record.get(key)}
        if len(texts.get("keyframes", ())) > MAX_KEY_FRAMES:
            raise UnpackableSample(f"more than {MAX_KEY_FRAMES} key-frame captions (ofa)")
        metadata = make_metadata({"id": item.id, "texts": texts, "source": "VIDAL"})
        files = self._files(modality, item.record["places"][modality])
        return Sample(metadata, item.split, {modality: read_media(self.storage, files)})

    def _items(self) -> Iterator[SourceItem]:
        listings: dict[str, set[str]] = {}
        for sample_id, entry in self._read_annotations().items():
            split = self.split.of(sample_id)
            if not isinstance(entry, dict) or not isinstance(entry.get("folder"), str):
                yield SourceItem(sample_id, split, self.modalities, problem="annotation has no folder")
                continue
            places = self._places(sample_id, entry["folder"], listings)
            texts = {key: entry[key] for key in _TEXT_KEYS if key in entry}
            yield SourceItem(sample_id, split, tuple(sorted(places)), {**texts, "places": places})

    def _places(self, sample_id: str, folder: str, listings: dict[str, set[str]]) -> dict[str, str]:
        """Modality to the first place where the folder listings show it."""
        found: dict[str, str] = {}
        for modality, patterns in _PLACES.items():
            for place in (pattern.format(folder=folder, id=sample_id) for pattern in patterns):
                parent, _, name = place.rpartition("/")
                if parent not in listings:
                    listings[parent] = set(self.storage.children(parent))
                if name in listings[parent]:
                    found.setdefault(modality, place)
        return found

    def _files(self, modality: str, place: str) -> list[tuple[str, str]]:
        """Suffix and storage key of each media file of a modality."""
        if modality in _KEY_FRAME_FOLDERS:
            return self._key_frames(modality, place)
        return [(file_type(modality, place), place)]

    def _key_frames(self, modality: str, folder: str) -> list[tuple[str, str]]:
        kind = media_types(modality)[0]
        there = set(self.storage.children(folder))
        wanted = [f"{frame}.{kind}" for frame in range(MAX_KEY_FRAMES)]
        files = [(name, f"{folder}/{name}") for name in wanted if name in there]
        if not files:
            raise UnpackableSample(f"no key frame 0.{kind} to {MAX_KEY_FRAMES - 1}.{kind} in the folder", folder)
        return files

    def _read_annotations(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.storage.read(self.annotations))
        except FileNotFoundError:
            raise ConfigError(f"{self.storage.root} has no {self.annotations}; correct source.annotations") from None
        except json.JSONDecodeError as error:
            raise ConfigError(f"{self.storage.root}/{self.annotations} is not JSON: {error}") from None
        if not isinstance(entries, dict):
            raise ConfigError(f"{self.storage.root}/{self.annotations} must be a JSON object with an entry per id")
        return entries
