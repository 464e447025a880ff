"""Where the media files of a benchmark's items are, found by listing every folder once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raybind.construction.sources.base import FILE_TYPE_ALIASES
from raybind.data.media_headers import media_types
from raybind.data.storage import Storage
from raybind.errors import ConfigError

ANY_TYPE = ".*"


@dataclass(frozen=True)
class Finder:
    """Looks places up below one folder; lives as long as one listing."""

    storage: Storage
    _listings: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Of each folder its file names by their stem."""

    def find(self, modality: str, places: tuple[str, ...], columns: Mapping[str, str]) -> str:
        """The first place that holds a file; the first of all where none does, so that its absence has a name.

        Raises: ConfigError: a place names a column that is not there.
        """
        paths = [filled(place, columns) for place in places]
        return next((found for path in paths if (found := self._look(modality, path))), paths[0])

    def _look(self, modality: str, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
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
        return next((f"{folder}/{one}" for one in there if one.rpartition(".")[2].lower() in readable), None)


def readable_types(modality: str) -> set[str]:
    """Suffixes that a modality can be read from; sound may be the track of a video."""
    types = {*media_types(modality), *(media_types("video") if modality == "audio" else ())}
    return types | {alias for alias, name in FILE_TYPE_ALIASES.items() if name in types}


def filled(template: str, columns: Mapping[str, str]) -> str:
    """A template with the values of a row. Raises: ConfigError: it names a column that the row has not."""
    try:
        return template.format_map(columns)
    except KeyError as error:
        there = ", ".join(columns)
        raise ConfigError(f"{template!r} names the column {error.args[0]!r}; there are {there}") from None
