"""Embeddings of all texts of a data set, made once by the frozen language encoder and stored beside the shards.

    <root>/<modality>/text-embeddings/<key>/       key: base fingerprint, context length, manifest digest
        <shard>.rows          the texts of each sample in turn, as `all_texts` orders them: `ROW_DIGEST` bytes of the
                              text's BLAKE2b, then its embedding, float32
        <shard>.places.npy    (samples + 1,) uint32, the row at which each sample begins; written after the rows
        prompts.rows          what zero-shot validation asks, in rows of the same kind
        cache.json            `CacheRecord`; written last: its presence says that the cache is complete

A row has the text's digest, so an embedding is never taken for that of another text; a key names all that the
embeddings depend on, so those of another base or of data packed again are not found, rather than wrong.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from raybind.data.manifest import SplitIndex
from raybind.data.shard_reader import MAX_PARALLEL_READS
from raybind.data.storage import Storage
from raybind.errors import DataError

FOLDER = "text-embeddings"
RECORD_NAME = "cache.json"
PROMPTS_NAME = "prompts.rows"
ROW_DIGEST = 16
_KEY_DIGITS = 16


class CacheRecord(BaseModel):
    """`cache.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_fingerprint: str
    context_length: int
    manifest_digest: str
    embedding_dim: int


def cache_key(base_fingerprint: str, context_length: int, manifest_digest: str) -> str:
    """The cache's folder name: all that the embeddings depend on."""
    return f"{base_fingerprint[:_KEY_DIGITS]}-{context_length}-{manifest_digest[:_KEY_DIGITS]}"


def text_digest(text: str) -> bytes:
    """What a row is known by."""
    return hashlib.blake2b(text.encode(), digest_size=ROW_DIGEST).digest()


def write_prompts(cache: Storage, embeddings: Mapping[str, np.ndarray]) -> None:
    """Write what zero-shot validation asks; (E,) float32 of every prompt."""
    _write_rows(cache, PROMPTS_NAME, list(embeddings), embeddings)


def write_record(cache: Storage, record: CacheRecord) -> None:
    """Say that the cache is complete."""
    cache.write(RECORD_NAME, record.model_dump_json(indent=1).encode())


def write_shard(
    cache: Storage, shard: str, texts: Sequence[Sequence[str]], embeddings: Mapping[str, np.ndarray]
) -> None:
    """Write the rows of a shard's samples.

    Args:
        texts: of each sample in the shard's order, as `all_texts` has them.
        embeddings: (E,) float32 of every text.
    """
    _write_rows(cache, rows_name(shard), [text for sample in texts for text in sample], embeddings)
    places = io.BytesIO()
    np.save(places, np.cumsum([0, *map(len, texts)]).astype(np.uint32))
    cache.write(places_name(shard), places.getvalue())


def rows_name(shard: str) -> str:
    """File of a shard's rows."""
    return f"{shard.removesuffix('.tar')}.rows"


def places_name(shard: str) -> str:
    """File that says where in a shard's rows each sample begins."""
    return f"{shard.removesuffix('.tar')}.places.npy"


@dataclass(frozen=True)
class TextCache:
    """The embeddings of one split's texts. N samples."""

    storage: Storage
    """Rooted at the cache's folder."""
    record: CacheRecord
    index: SplitIndex
    first_row: np.ndarray
    """(N,) uint32, in its shard's rows"""
    num_rows: np.ndarray
    """(N,) uint32"""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return ROW_DIGEST + 4 * self.record.embedding_dim

    def read(self, i: int, place: int, text: str) -> np.ndarray:
        """The embedding of text number `place` of sample `i`.

        Returns: (E,) float32 unit vector. Raises: DataError: the row is not there, or is another text's.
        """
        found = self._read_rows(i, place, 1)
        digest, embedding = found[:ROW_DIGEST], found[ROW_DIGEST:]
        if digest != text_digest(text) or len(embedding) < self.row_bytes - ROW_DIGEST:
            raise DataError(f"no embedding of {text!r} in {self.storage.root}", cause="text embedding missing")
        return np.frombuffer(embedding, "<f4")

    def read_sample(self, i: int) -> dict[bytes, np.ndarray]:
        """The embeddings of all texts of sample `i`, by digest."""
        return _by_digest(self._read_rows(i, 0, int(self.num_rows[i])), self.row_bytes)

    def read_prompts(self) -> dict[bytes, np.ndarray]:
        """The embeddings of the prompts, by digest."""
        return _by_digest(self.storage.read(PROMPTS_NAME), self.row_bytes)

    def _read_rows(self, i: int, place: int, number: int) -> bytes:
        shard = self.index.shard_name(i)
        offset = (int(self.first_row[i]) + place) * self.row_bytes
        return self.storage.read_range(rows_name(shard), offset, number * self.row_bytes)


def read_record(modality: Storage, key: str) -> CacheRecord | None:
    """The record of a complete cache, or None.

    Args:
        modality: rooted at `<root>/<modality>`.
    """
    try:
        return CacheRecord.model_validate_json(modality.read(f"{FOLDER}/{key}/{RECORD_NAME}"))
    except FileNotFoundError:
        return None


def open_cache(index: SplitIndex, key: str) -> TextCache | None:
    """The complete cache of a split, or None."""
    record = read_record(index.storage, key)
    if record is None:
        return None
    storage = index.storage.below(f"{FOLDER}/{key}")
    with ThreadPoolExecutor(MAX_PARALLEL_READS) as pool:
        files = pool.map(lambda shard: storage.read(places_name(shard.name)), index.shards)
        places = [np.load(io.BytesIO(file)) for file in files]
    return TextCache(
        storage=storage,
        record=record,
        index=index,
        first_row=np.concatenate([place[:-1] for place in places])[index.row],
        num_rows=np.concatenate([np.diff(place) for place in places])[index.row],
    )


def _write_rows(cache: Storage, name: str, texts: Sequence[str], embeddings: Mapping[str, np.ndarray]) -> None:
    cache.write(name, b"".join(text_digest(text) + embeddings[text].astype("<f4").tobytes() for text in texts))


def _by_digest(rows: bytes, row_bytes: int) -> dict[bytes, np.ndarray]:
    found = (rows[first : first + row_bytes] for first in range(0, len(rows), row_bytes))
    return {row[:ROW_DIGEST]: np.frombuffer(row[ROW_DIGEST:], "<f4") for row in found}
