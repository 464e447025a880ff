"""Writing shards and their manifest: the same samples always give the same bytes.

In the flow: the packing job writes with it, and so can anyone who makes shards of their own:

    storage = open_storage("s3://bucket/data").below("depth")
    writer = ShardWriter(storage, "depth", shard_name("train", 0))
    writer.add(SampleMetadata(id="a"), (MediaFile("0.png", png_bytes),))
    write_manifest(storage, "depth", {"train": [writer.close()]})

Not for reading (`shard_reader`) and not for deciding which sample goes where (the packing plan).
"""

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from raybind.data.manifest import (
    INDEX_SCHEMA,
    MANIFEST_NAME,
    Manifest,
    ShardEntry,
    SplitEntry,
    index_name,
    index_to_bytes,
)
from raybind.data.media_headers import check_media
from raybind.data.sample import MediaFile, SampleMetadata, UnpackableSample
from raybind.data.storage import Storage
from raybind.errors import DataError

_BLOCK = tarfile.BLOCKSIZE
_END_OF_TAR = bytes(2 * _BLOCK)


class ShardRecord(BaseModel):
    """A written shard: its entry in the manifest and its rows in the split's sample index. N samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_bytes: int
    sha256: str
    ids: tuple[str, ...]
    """(N,)"""
    lengths: tuple[int, ...]
    """(N,) bytes; samples follow each other without gaps from byte 0."""
    crc32: tuple[int, ...]
    """(N,) of each sample's bytes."""


class ShardWriter:
    """Writes one shard of one modality; at most one sample is held in memory, the tar grows in a temporary file."""

    def __init__(self, storage: Storage, modality: str, name: str) -> None:
        """
        Args:
            storage: rooted at `<root>/<modality>`.
            name: file name of the shard, from `shard_name`.
        """
        self._storage, self._modality, self._name = storage, modality, name
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._sha256 = hashlib.sha256()
        self._rows: dict[str, tuple[int, int]] = {}

    def add(self, metadata: SampleMetadata, media: Sequence[MediaFile]) -> None:
        """Append one sample.

        Raises:
            UnpackableSample: the id is already in this shard, or `check_media` refuses the media; nothing is written.
        """
        if metadata.id in self._rows:
            raise UnpackableSample("id is already in this shard")
        check_media(self._modality, media)
        data = sample_to_tar(metadata, media)
        self._write(data)
        self._rows[metadata.id] = (len(data), zlib.crc32(data))

    def close(self) -> ShardRecord:
        """End the tar and store it whole. A shard without samples is not stored.

        Returns: its record, with no ids where nothing was added.
        """
        with self._file as file:
            if self._rows:
                self._write(_END_OF_TAR)
            num_bytes = file.tell()
            if self._rows:
                file.seek(0)
                self._storage.write_stream(self._name, file)
        return ShardRecord(
            name=self._name,
            num_bytes=num_bytes,
            sha256=self._sha256.hexdigest(),
            ids=tuple(self._rows),
            lengths=tuple(length for length, _ in self._rows.values()),
            crc32=tuple(crc32 for _, crc32 in self._rows.values()),
        )

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)


def sample_to_tar(metadata: SampleMetadata, media: Sequence[MediaFile]) -> bytes:
    """The tar members of one sample: `<id>.json`, then its media by suffix, each padded to 512 bytes."""
    text = json.dumps(metadata.model_dump(mode="json", exclude_defaults=True), sort_keys=True, ensure_ascii=False)
    files = [MediaFile("json", text.encode()), *sorted(media, key=lambda file: file.suffix)]
    return b"".join(_member(f"{metadata.id}.{file.suffix}", file.data) for file in files)


def write_manifest(storage: Storage, modality: str, splits: Mapping[str, Sequence[ShardRecord]]) -> Manifest:
    """Write the sample index of each split, then the manifest: its presence says that the modality is complete.

    Args:
        storage: rooted at `<root>/<modality>`; the shards are there already.
        splits: the shards of each split in the order of the index; those without samples are left out.
    Raises:
        DataError: no sample at all, or an id that occurs twice in a split.
    """
    entries: dict[str, SplitEntry] = {}
    for split, all_records in splits.items():
        records = [record for record in all_records if record.ids]
        if records:
            index = _index_of(split, records)
            storage.write(index_name(split), index)
            entries[split] = _split_entry(records, index)
    if not entries:
        raise DataError(f"no sample of {modality} could be packed, so {storage.root} gets no manifest")
    manifest = Manifest(modality=modality, splits=entries)
    storage.write(MANIFEST_NAME, manifest.to_bytes())
    return manifest


def _member(name: str, data: bytes) -> bytes:
    # TarInfo's defaults are fixed: mode 644, owner 0, time 0, so equal content gives equal bytes.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % _BLOCK)


def _index_of(split: str, records: Sequence[ShardRecord]) -> bytes:
    ids = [sample_id for record in records for sample_id in record.ids]
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"id {twice!r} occurs twice in split {split!r}; ids must be unique")
    columns = {
        "id": ids,
        "shard": [number for number, record in enumerate(records) for _ in record.ids],
        "offset": [offset for record in records for offset in accumulate(record.lengths[:-1], initial=0)],
        "length": [length for record in records for length in record.lengths],
        "crc32": [crc32 for record in records for crc32 in record.crc32],
    }
    return index_to_bytes(pa.table(columns, schema=INDEX_SCHEMA))


def _split_entry(records: Sequence[ShardRecord], index: bytes) -> SplitEntry:
    shards = tuple(
        ShardEntry(name=record.name, num_samples=len(record.ids), num_bytes=record.num_bytes, sha256=record.sha256)
        for record in records
    )
    return SplitEntry(
        shards=shards,
        num_samples=sum(shard.num_samples for shard in shards),
        index_sha256=hashlib.sha256(index).hexdigest(),
    )
