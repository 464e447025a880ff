"""The items of a split as an evaluation needs them, and their embeddings.

Evaluation never skips: an item that cannot be read ends it with the item's name.

Legend: B items of a batch, N items, E embedding_dim.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.data.reader import SampleReader
from raybind.errors import ConfigError, DataError

DEFAULT_LABEL_SET = "label"

EncodePixels = Callable[[Tensor], Tensor]
"""(B, 3, H, W) float32 to (B, E) unit vectors."""
EncodeTexts = Callable[[Sequence[str]], Tensor]
"""B texts to (B, E) unit vectors."""


@dataclass(frozen=True)
class Item:
    """What is known of an item beside its media."""

    id: str
    captions: tuple[str, ...]
    labels: dict[str, str]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ItemBatch:
    """B items, decoded and transformed."""

    items: tuple[Item, ...]
    pixel_values: np.ndarray
    """(B, 3, H, W) float32"""


@dataclass(frozen=True)
class EmbeddedItems:
    """N items with their embeddings."""

    items: tuple[Item, ...]
    embeddings: Tensor
    """(N, E) unit-norm float32, CPU"""

    @classmethod
    def in_order_of(cls, ids: Sequence[str], parts: Iterable["EmbeddedItems"]) -> "EmbeddedItems":
        """Put parts together, in whatever order they come. Raises: DataError: not every id is there exactly once."""
        rows = {item.id: (item, row) for part in parts for item, row in zip(part.items, part.embeddings, strict=True)}
        lost = [name for name in ids if name not in rows]
        if lost or len(rows) != len(ids):
            raise DataError(f"{len(rows)} items were embedded where there are {len(ids)}; missing: {lost[:3]}")
        found = [rows[name] for name in ids]
        return cls(tuple(item for item, _ in found), torch.stack([row for _, row in found]))


def read_items(reader: SampleReader, numbers: Sequence[int], batch_size: int) -> Iterator[ItemBatch]:
    """Read items in order, each the same way every time (middle key frame, no augmentation).

    Raises: DataError: an item cannot be read; names it.
    """
    for first in range(0, len(numbers), batch_size):
        decoded = reader.read_many(numbers[first : first + batch_size])
        items = tuple(Item(d.metadata.id, d.texts, d.metadata.labels, d.metadata.classes) for d in decoded)
        yield ItemBatch(items, np.stack([d.pixel_values for d in decoded]))


@torch.inference_mode()
def embed_items(encode: EncodePixels, batches: Iterable[ItemBatch]) -> EmbeddedItems:
    """Embed batches one after the other; only the embeddings are kept."""
    items: list[Item] = []
    embeddings = []
    for batch in batches:
        items += batch.items
        embeddings.append(encode(torch.from_numpy(batch.pixel_values)).float().cpu())
    return EmbeddedItems(tuple(items), torch.cat(embeddings))


def choose_label_set(items: Sequence[Item], modality: str, label_set: str | None) -> str | None:
    """The label set to classify by: the one asked for, else the modality's own, else `label`, else none.

    Raises: ConfigError: not every item has the label set asked for; names those there are.
    """
    common = set.intersection(*(set(item.labels) for item in items)) if items else set()
    if label_set is not None and label_set not in common:
        found = ", ".join(sorted(common)) or "none"
        raise ConfigError(f"label_set={label_set!r} is not on every item of the split; label sets that are: {found}")
    candidates = [label_set] if label_set is not None else [modality, DEFAULT_LABEL_SET]
    return next((name for name in candidates if name in common), None)
