"""Items as a report shows them, and the sheet of what a retrieval found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raybind.app.encoders import Encoder
from raybind.config.data import DataConfig
from raybind.data.manifest import SplitIndex
from raybind.data.reader import SampleReader
from raybind.evaluation.items import Item
from raybind.evaluation.retrieval_sheet import SheetRow, Shown, choose_queries, first_hits, retrieval_sheet_png
from raybind.evaluation.thumbnails import thumbnail

_ROWS = 6
_HITS = 5


@dataclass(frozen=True)
class Gallery:
    """Reads what an item looks like to its encoder, when it is shown."""

    readers: Mapping[str, SampleReader]
    """By modality."""

    def show(self, modality: str, item: Item) -> Shown:
        """The picture of an item, and its first caption or its classes. Raises: DataError: it cannot be read."""
        reader = self.readers[modality]
        (number,) = np.flatnonzero(reader.index.ids == item.id).tolist()
        pixels = reader.read_many([number])[0].pixel_values
        return Shown(words(item), thumbnail(pixels, modality, reader.config.preprocess))


def reader_of(encoder: Encoder, data: DataConfig, index: SplitIndex) -> SampleReader:
    """What reads items as an encoder sees them."""
    trained = encoder.trained
    own = data.model_copy(update={"preprocess": trained.preprocess, "modality": trained.modality})
    return SampleReader(index, own, trained.arch.vision.input, seed=0)


def words(item: Item) -> str:
    """What to write below an item."""
    return item.captions[0] if item.captions else ", ".join(item.classes or item.labels.values()) or item.id


@dataclass(frozen=True)
class Asked:
    """A retrieval and how its queries and items are shown, by their numbers."""

    queries: Tensor
    """(Q, D) unit-norm float32."""
    items: Tensor
    """(N, D) unit-norm float32."""
    ranks: np.ndarray
    """(Q,) int64, of the best right item."""
    is_right: Callable[[int, int], bool]
    show_query: Callable[[int], Shown]
    show_item: Callable[[int], Shown]


def retrieval_png(asked: Asked, title: str, query_label: str, item_label: str) -> bytes:
    """Some queries that were answered right and some that were not, with their first hits."""
    chosen = choose_queries(asked.ranks, _ROWS)
    hits, similarities = first_hits(asked.queries[list(chosen)], asked.items, _HITS)
    rows = [
        SheetRow(
            asked.show_query(query),
            tuple(
                (asked.show_item(item), similarity, asked.is_right(query, item))
                for item, similarity in zip(found.tolist(), values.tolist(), strict=True)
            ),
            int(asked.ranks[query]),
        )
        for query, found, values in zip(chosen, hits, similarities, strict=True)
    ]
    return retrieval_sheet_png(rows, title, query_label, item_label)
