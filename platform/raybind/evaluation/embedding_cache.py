"""Embeddings of items and texts, kept so that a further metric, figure or table costs nothing.

    <folder>/items-<key>.parquet     item (JSON: id, captions, labels, classes), embedding (float32, little-endian)
    <folder>/texts-<key>.npy         (T, D) float32, in the order of the texts

A key names all that the embeddings depend on - weights, data, preprocessing, texts -, so those of another encoder or of
data packed again are not found, rather than wrong.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from raybind.data.storage import Storage
from raybind.evaluation.items import EmbeddedItems, EncodeTexts, Item

_KEY_DIGITS = 32


def items_table(embedded: EmbeddedItems) -> pa.Table:
    """Items as rows."""
    rows = embedded.embeddings.numpy().astype("<f4")
    return pa.table(
        {
            "item": [json.dumps(asdict(item)) for item in embedded.items],
            "embedding": pa.array([row.tobytes() for row in rows], pa.binary()),
        }
    )


def table_items(table: pa.Table) -> EmbeddedItems:
    """Rows as items."""
    known, rows = [json.loads(text) for text in table["item"].to_pylist()], table["embedding"].to_pylist()
    items = tuple(Item(k["id"], tuple(k["captions"]), k["labels"], tuple(k["classes"])) for k in known)
    return EmbeddedItems(items, torch.from_numpy(np.stack([np.frombuffer(row, "<f4") for row in rows]).copy()))


@dataclass(frozen=True)
class EmbeddingCache:
    """A folder of embeddings."""

    storage: Storage

    def items(self, depends_on: Sequence[str]) -> EmbeddedItems | None:
        """The items kept under what they depend on, if they are."""
        name = _items_name(depends_on)
        if not self.storage.exists(name):
            return None
        return table_items(pq.read_table(pa.BufferReader(self.storage.read(name))))

    def keep(self, depends_on: Sequence[str], embedded: EmbeddedItems) -> None:
        """Keep items under what they depend on."""
        sink = pa.BufferOutputStream()
        pq.write_table(items_table(embedded), sink)
        self.storage.write(_items_name(depends_on), sink.getvalue().to_pybytes())

    def texts(self, language: str, encode: EncodeTexts) -> EncodeTexts:
        """The same function, which keeps what it has encoded.

        Args:
            language: fingerprint of the language encoder.
        """

        def encode_or_read(texts: Sequence[str]) -> Tensor:
            name = f"texts-{_key((language, *texts))}.npy"
            if self.storage.exists(name):
                return torch.from_numpy(np.load(io.BytesIO(self.storage.read(name))))
            embeddings, sink = encode(texts), io.BytesIO()
            np.save(sink, embeddings.numpy())
            self.storage.write(name, sink.getvalue())
            return embeddings

        return encode_or_read


def _items_name(depends_on: Sequence[str]) -> str:
    return f"items-{_key(depends_on)}.parquet"


def _key(depends_on: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(depends_on)).encode()).hexdigest()[:_KEY_DIGITS]
