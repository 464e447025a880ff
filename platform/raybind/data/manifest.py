"""The manifest of one modality: which shards there are and where in them each sample lies.

    <root>/<modality>/manifest.json            format version, per split: shards with size, count and SHA-256
    <root>/<modality>/<split>.index.parquet    one row per sample, in shard order: `INDEX_SCHEMA`
    <root>/<modality>/<split>-NNNNNN.tar       WebDataset shard

The bytes `[offset, offset + length)` of a shard hold exactly the tar members of one sample, so a sample can be read by
one range request and checked against its CRC-32 without touching its neighbours.
"""

import hashlib
import io
import json
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from raybind.data.storage import Storage
from raybind.errors import ConfigError, DataError

FORMAT_VERSION = 1

MANIFEST_NAME = "manifest.json"

INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.int32()),  # position in the split's list of shards
        ("offset", pa.int64()),  # bytes from the start of the shard
        ("length", pa.int64()),  # bytes
        ("crc32", pa.uint32()),  # of those bytes (zlib.crc32)
    ]
)


class ShardEntry(BaseModel):
    """One tar of a split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_samples: int
    num_bytes: int
    sha256: str


class SplitEntry(BaseModel):
    """One split: its shards and the digest of its sample index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: tuple[ShardEntry, ...]
    num_samples: int
    index_sha256: str


class Manifest(BaseModel):
    """`manifest.json` of one modality."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    modality: str
    splits: dict[str, SplitEntry]

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: names the data set in a run's record."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest always gives the same bytes."""
        return json.dumps(self.model_dump(), sort_keys=True, indent=1).encode()


@dataclass(frozen=True)
class SplitIndex:
    """Where each sample of a split lies. N samples, numbered 0..N-1 in shard order."""

    storage: Storage
    """Rooted at `<root>/<modality>`."""
    modality: str
    split: str
    shards: tuple[ShardEntry, ...]
    shard_sizes: tuple[int, ...]
    """Samples per shard that are read; they sum to N."""
    ids: np.ndarray
    """(N,) str"""
    shard: np.ndarray
    """(N,) int32"""
    offset: np.ndarray
    """(N,) int64, bytes"""
    length: np.ndarray
    """(N,) int64, bytes"""
    crc32: np.ndarray
    """(N,) uint32"""
    row: np.ndarray
    """(N,) int64, place in the stored index; other than 0..N-1 where samples are left out"""
    manifest_digest: str
    digest: str
    """Names the data that are read: the manifest's digest, and what is left out of them."""

    def __len__(self) -> int:
        return len(self.ids)

    def shard_name(self, i: int) -> str:
        """The file that holds sample `i`."""
        return self.shards[self.shard[i]].name

    def without(self, ids: Collection[str]) -> "SplitIndex":
        """The same split with some samples left out; ids that are not there change nothing."""
        kept = np.flatnonzero(~np.isin(self.ids, list(ids)))
        if len(kept) == len(self):
            return self
        left_out = "\n".join(sorted(set(self.ids.tolist()) - set(self.ids[kept].tolist())))
        return replace(
            self,
            shard_sizes=tuple(np.bincount(self.shard[kept], minlength=len(self.shards)).tolist()),
            **{name: getattr(self, name)[kept] for name in ("ids", "shard", "offset", "length", "crc32", "row")},
            digest=hashlib.sha256(f"{self.digest}\n{left_out}".encode()).hexdigest(),
        )


def index_name(split: str) -> str:
    """File name of a split's sample index."""
    return f"{split}.index.parquet"


def shard_name(split: str, number: int) -> str:
    """File name of the shard `number` (from 0) of a split."""
    return f"{split}-{number:06d}.tar"


def index_to_bytes(rows: pa.Table) -> bytes:
    """A split's sample index as Parquet bytes (deterministic for equal rows and library version)."""
    sink = io.BytesIO()
    pq.write_table(rows.cast(INDEX_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def read_manifest(root: Storage, modality: str) -> Manifest:
    """Read and check `<root>/<modality>/manifest.json`.

    Raises:
        ConfigError: there is none (the modalities that are there are named), or it has another format version.
        DataError: it is not a manifest.
    """
    try:
        raw = root.read(f"{modality}/{MANIFEST_NAME}")
    except FileNotFoundError:
        packed = sorted({key.split("/")[0] for key in root.list() if key.endswith(f"/{MANIFEST_NAME}")})
        found = f"modalities packed there: {', '.join(packed)}" if packed else "no packed modality is there"
        raise ConfigError(
            f"no manifest of {modality!r} at {root.root}/{modality}/{MANIFEST_NAME}; {found}. "
            "Pack with jobs/pack.py first"
        ) from None
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise DataError(f"{root.root}/{modality}/{MANIFEST_NAME} is not a manifest: {error}") from None
    if manifest.format_version != FORMAT_VERSION:
        raise ConfigError(
            f"{root.root}/{modality} has format version {manifest.format_version}, this release reads "
            f"{FORMAT_VERSION}; pack it again"
        )
    return manifest


def read_split(root: Storage, modality: str, split: str) -> SplitIndex:
    """Read the sample index of one split.

    Raises:
        ConfigError: no such manifest or split.
        DataError: the index is not the one the manifest was written with.
    """
    manifest = read_manifest(root, modality)
    if split not in manifest.splits:
        raise ConfigError(
            f"split {split!r} is not in {root.root}/{modality}; its splits: {', '.join(sorted(manifest.splits))}"
        )
    entry = manifest.splits[split]
    storage = root.below(modality)
    raw = storage.read(index_name(split))
    if hashlib.sha256(raw).hexdigest() != entry.index_sha256:
        raise DataError(f"{storage.root}/{index_name(split)} does not match its manifest's SHA-256; pack it again")
    columns = pq.read_table(io.BytesIO(raw))
    return SplitIndex(
        storage=storage,
        modality=modality,
        split=split,
        shards=entry.shards,
        shard_sizes=tuple(shard.num_samples for shard in entry.shards),
        ids=np.asarray(columns["id"].to_pylist(), dtype=np.str_),
        shard=columns["shard"].to_numpy(),
        offset=columns["offset"].to_numpy(),
        length=columns["length"].to_numpy(),
        crc32=columns["crc32"].to_numpy(),
        row=np.arange(entry.num_samples),
        manifest_digest=manifest.digest(),
        digest=manifest.digest(),
    )
