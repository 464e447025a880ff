"""Benchmarks whose annotations are rows of text files: csv, json, or words separated by white space."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from raybind.config.benchmark_source import Table, TableFormat
from raybind.construction.benchmarks.base import ListedItem
from raybind.construction.benchmarks.places import Finder, column_names, filled
from raybind.construction.benchmarks.sound_track import sound_track
from raybind.construction.sources.base import file_type, read_media
from raybind.data.media_headers import has_key_frames, media_types, type_of_name
from raybind.data.sample import MediaFile
from raybind.data.storage import Storage
from raybind.errors import ConfigError

KEY_COLUMN = "key"
"""What the key of a JSON object's entry is called as a column."""

Row = dict[str, Any]


@dataclass
class _Gathered:
    """What the rows say of one item."""

    columns: dict[str, str]
    captions: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TableReader:
    """Reads such annotations, and media files that they name."""

    storage: Storage
    format: TableFormat

    def items(self) -> Iterator[ListedItem]:
        """See `BenchmarkReader`: in the order of the first table."""
        finder, gathered = Finder(self.storage), self._gathered()
        self._check_places({name for item in gathered.values() for name in item.columns})
        for key, item in gathered.items():
            captions = (" ".join(item.captions),) if self.format.paragraph and item.captions else tuple(item.captions)
            media = {
                modality: path
                for modality, places in self.format.media.items()
                if (path := finder.place(modality, places, item.columns)) is not None
            }
            yield ListedItem(key, tuple(media), captions, tuple(dict.fromkeys(item.classes)), media)

    def load(self, record: dict[str, Any], modality: str) -> tuple[MediaFile, ...]:
        """See `BenchmarkReader`; the sound of a video file is stored as flac."""
        path = record[modality]
        (file,) = read_media(self.storage, [("", path)])
        if modality == "audio" and type_of_name(path) in media_types("video"):
            return (MediaFile("flac", sound_track(file.data, path)),)
        kind = file_type(modality, path)
        return (MediaFile(f"0.{kind}" if has_key_frames(modality) else kind, file.data),)

    def _check_places(self, columns: set[str]) -> None:
        for place in (place for places in self.format.media.values() for place in places):
            if lost := column_names(place) - columns:
                raise ConfigError(f"{place!r} names the column {lost.pop()!r}; there are {', '.join(sorted(columns))}")

    def _gathered(self) -> dict[str, _Gathered]:
        first, *others = self.format.tables
        found: dict[str, _Gathered] = {}
        for row in _rows(self.storage, first):
            columns = _as_text(row)
            _add(row, first, found.setdefault(filled(first.id, columns), _Gathered(columns)))
        for table in others:
            for row in _rows(self.storage, table):
                item = found.get(filled(table.id, _as_text(row)))
                if item is not None:
                    _add(row, table, item)
        return found


def read_annotations(storage: Storage, file: str) -> str:
    """The text of an annotation file. Raises: ConfigError: it is not there, or not UTF-8."""
    try:
        return storage.read(file).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{storage.root} has no {file}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{storage.root}/{file} is not UTF-8 text: {error}") from None


def _rows(storage: Storage, table: Table) -> Iterator[Row]:
    read = {"csv": _csv_rows, "json": _json_rows, "jsonl": _json_line_rows, "words": _word_rows}[table.form]
    for number, row in enumerate(read(read_annotations(storage, table.file), table), start=1):
        lost = [name for name in (*table.where, *table.captions, *filter(None, [table.label])) if name not in row]
        if lost:
            raise ConfigError(f"{table.file}, row {number}: no column {lost[0]!r}; there are {', '.join(row)}")
        if all(str(row[name]) == value for name, value in table.where.items()):
            yield row


def _csv_rows(text: str, table: Table) -> Iterator[Row]:
    while table.comment and text.startswith(table.comment):
        text = text.partition("\n")[2]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter, skipinitialspace=True)
    columns = table.columns or next(rows, [])
    for row in rows:
        if row:
            yield _row(row, columns, table)


def _word_rows(text: str, table: Table) -> Iterator[Row]:
    columns = table.columns or ()
    for line in text.splitlines():
        if line.strip() and not (table.comment and line.startswith(table.comment)):
            yield _row(line.split(maxsplit=len(columns) - 1), columns, table)


def _row(values: list[str], columns: Any, table: Table) -> Row:
    if len(values) != len(columns):
        raise ConfigError(
            f"{table.file}: {len(values)} values for the columns {', '.join(columns)}: {','.join(values)[:80]!r}"
        )
    return dict(zip(columns, values, strict=True))


def _json_rows(text: str, table: Table) -> Iterator[Row]:
    try:
        found = json.loads(text)
        found = found if table.records is None else found[table.records]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{table.file}: not JSON with {table.records or 'rows'}: {error!r}") from None
    rows = [{KEY_COLUMN: key, **row} for key, row in found.items()] if isinstance(found, dict) else found
    yield from _objects(rows, table)


def _json_line_rows(text: str, table: Table) -> Iterator[Row]:
    try:
        yield from _objects([json.loads(line) for line in text.splitlines() if line.strip()], table)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{table.file}: a line is not JSON: {error}") from None


def _objects(rows: list[Any], table: Table) -> list[Row]:
    if not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{table.file}: every row must be a JSON object")
    return rows


def _as_text(row: Row) -> dict[str, str]:
    return {name: str(value) for name, value in row.items()}


def _add(row: Row, table: Table, item: _Gathered) -> None:
    for name in table.captions:
        texts = row[name] if isinstance(row[name], list) else [row[name]]
        item.captions += [text for one in texts if (text := " ".join(str(one).split()))]
    if table.label is not None:
        label = str(row[table.label])
        labels = label.split(table.label_separator) if table.label_separator else [label]
        item.classes += [name.strip() for name in labels]
