"""A benchmark's data set as a source to pack: its items in the words that prompts use."""

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from raybind.config.benchmark import Benchmark, BenchmarkConfig
from raybind.config.benchmark_source import BoxesFormat, TableFormat
from raybind.construction.benchmarks.base import BenchmarkReader, ListedItem
from raybind.construction.benchmarks.boxes import BoxesReader
from raybind.construction.benchmarks.nyu_depth import NyuDepthReader
from raybind.construction.benchmarks.table import TableReader, read_annotations
from raybind.construction.sources.base import SourceItem, make_metadata, mark_problems
from raybind.data.sample import Sample
from raybind.data.storage import Storage
from raybind.errors import ConfigError

_DIGEST_DIGITS = 8


@dataclass(frozen=True)
class BenchmarkSource:
    """The items of one benchmark below one folder."""

    storage: Storage
    config: BenchmarkConfig

    @property
    def name(self) -> str:
        """Benchmark, folder and how it is read."""
        settings = self.config.model_dump_json(include={"source", "classes", "split"})
        digest = hashlib.sha256(settings.encode()).hexdigest()[:_DIGEST_DIGITS]
        return f"benchmark {self.config.name} {self.storage.root} {digest}"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that its tasks ask for."""
        return self.config.modalities

    def plan(self) -> list[SourceItem]:
        """All items of the annotations. Raises: ConfigError: annotations or class names are missing or do not fit."""
        return mark_problems(self._item(item) for item in self._listed)

    def benchmark(self) -> Benchmark:
        """What its shards are accompanied by. Raises: ConfigError: as `plan`."""
        classes = self.config.classes
        if classes.file is not None:
            names = list(self._listed_classes.values())
        elif classes.others is not None:
            names = [*classes.names.values(), classes.others]
        else:
            names = sorted({self._phrase(name) for item in self._listed for name in item.classes})
        return Benchmark(config=self.config, class_names=tuple(dict.fromkeys(names)))

    def load(self, item: SourceItem, modality: str) -> Sample:
        """Read one modality. Raises: UnpackableSample."""
        texts = {"captions": item.record["captions"]}
        metadata = make_metadata(
            {"id": item.id, "texts": texts, "classes": item.record["classes"], "source": self.config.title}
        )
        return Sample(metadata, item.split, {modality: self._reader.load(item.record["media"], modality)})

    @property
    def _reader(self) -> BenchmarkReader:
        source = self.config.source
        if isinstance(source, TableFormat):
            return TableReader(self.storage, source)
        return (
            BoxesReader(self.storage, source)
            if isinstance(source, BoxesFormat)
            else NyuDepthReader(self.storage, source)
        )

    @cached_property
    def _listed(self) -> list[ListedItem]:
        self.storage.check_readable()
        return list(self._reader.items())

    @cached_property
    def _listed_classes(self) -> Mapping[str, str]:
        """Phrase by key, of the file that lists all classes."""
        classes = self.config.classes
        rows = csv.DictReader(io.StringIO(read_annotations(self.storage, str(classes.file)), newline=""))
        lost = {classes.key_column, classes.name_column} - set(rows.fieldnames or ())
        if lost:
            raise ConfigError(f"{classes.file} has no column {' or '.join(sorted(lost))}; it has {rows.fieldnames}")
        found = {row[classes.key_column]: row[classes.name_column] for row in rows}
        return {key: classes.names.get(name, _words(name)) for key, name in found.items()}

    def _item(self, item: ListedItem) -> SourceItem:
        modalities = tuple(name for name in item.modalities if name in self.modalities)
        record = {"captions": item.captions, "classes": [self._phrase(name) for name in item.classes]}
        return SourceItem(sample_id(item.key), self.config.split, modalities, {**record, "media": item.record})

    def _phrase(self, name: str) -> str:
        """What prompts call a class that the annotations call `name`."""
        classes = self.config.classes
        if classes.file is not None:
            if name not in self._listed_classes:
                raise ConfigError(f"the class {name!r} is not among those of {classes.file}")
            return self._listed_classes[name]
        return classes.names.get(name, classes.others or _words(name))

    def __reduce__(self) -> tuple[type, tuple[Storage, BenchmarkConfig]]:
        """Without the listing."""
        return BenchmarkSource, (self.storage, self.config)


def sample_id(key: str) -> str:
    """An id that a shard can hold, for any name: where characters had to be replaced a digest keeps it distinct."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", key)
    return plain if plain == key else f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_DIGITS]}"


def _words(name: str) -> str:
    return name.replace("_", " ").strip()
