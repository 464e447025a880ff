"""Where the media files of a benchmark's items are, found by listing every folder once."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from raybind.data.media_headers import media_types, type_of_name
from raybind.data.storage import Storage
from raybind.errors import ConfigError

ANY_TYPE = ".*"


@dataclass(frozen=True)
class Finder:
    """Looks places up below one folder; lives as long as one listing."""

    storage: Storage
    _listings: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Of each folder its file names by their stem."""

    def find(self, modality: str, places: tuple[str, ...], columns: Mapping[str, str]) -> str | None:
        """The first place that holds a file."""
        return next((found for path in _paths(places, columns) if (found := self._look(modality, path))), None)

    def place(self, modality: str, places: tuple[str, ...], columns: Mapping[str, str]) -> str | None:
        """The same; else the first place there is, so that what is missing has a name; None: columns for none."""
        return self.find(modality, places, columns) or next(_paths(places, columns), None)

    def _look(self, modality: str, path: str) -> str | None:
        folder, slash, name = path.rpartition("/")
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            for child in self.storage.children(folder):
                listing.setdefault(child.rpartition(".")[0], []).append(child)
            self._listings[folder] = listing
        stem, _, suffix = name.rpartition(".")
        there = self._listings[folder].get(stem, [])
        if f".{suffix}" != ANY_TYPE:
            return path if name in there else None
        readable = readable_types(modality)
        return next((f"{folder}{slash}{one}" for one in there if type_of_name(one) in readable), None)


def _paths(places: tuple[str, ...], columns: Mapping[str, str]) -> Iterator[str]:
    return (place.format_map(columns) for place in places if column_names(place) <= set(columns))


def readable_types(modality: str) -> tuple[str, ...]:
    """File types that a modality can be read from; sound may be the track of a video."""
    return (*media_types(modality), *(media_types("video") if modality == "audio" else ()))


def column_names(template: str) -> set[str]:
    """Columns whose values stand in a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def filled(template: str, columns: Mapping[str, str]) -> str:
    """A template with the values of a row. Raises: ConfigError: it names a column that the row has not."""
    if lost := column_names(template) - set(columns):
        raise ConfigError(f"{template!r} names the column {lost.pop()!r}; there are {', '.join(columns)}")
    return template.format_map(columns)
