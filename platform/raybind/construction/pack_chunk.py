"""Packing one chunk of the plan: every sample is loaded once per modality and written to the chunk's shards.

A finished shard leaves its record at `<root>/<modality>/.packing/<plan digest>/<shard>.json`, written after the shard
itself. A packing job that was killed and is started again finds the records and packs only what has none.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from raybind.construction.pack_plan import Chunk
from raybind.construction.sources.base import Source, SourceItem
from raybind.data.sample import UnpackableSample
from raybind.data.storage import Storage
from raybind.data.writer import ShardRecord, ShardWriter

STATE_FOLDER = ".packing"


class FailedSample(BaseModel):
    """One modality of one sample that was not packed, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    split: str
    modality: str
    cause: str
    file: str | None = None
    """The file at fault, where one is: a path in the source, or the suffix of a tar member."""


class PackedShard(BaseModel):
    """What packing one modality of a chunk gave: a shard, and the samples that are not in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str
    split: str
    shard: ShardRecord
    failed: tuple[FailedSample, ...]


@dataclass(frozen=True)
class ChunkPacker:
    """Packs chunks of one plan; sent to the packing tasks."""

    source: Source
    root: Storage
    plan_digest: str

    def pack(self, chunk: Chunk, modalities: tuple[str, ...]) -> tuple[PackedShard, ...]:
        """Write the chunk's shards of these modalities and their records.

        Raises:
            OSError: the source or the output cannot be reached.
        """
        writers = {modality: self._writer(chunk, modality) for modality in modalities}
        failed: dict[str, list[FailedSample]] = {modality: [] for modality in modalities}
        for item in chunk.items:
            for modality in set(modalities) & set(item.modalities):
                try:
                    self._add(item, modality, writers[modality])
                except UnpackableSample as error:
                    failed[modality].append(failed_sample(item, modality, error.cause, error.file))
        return tuple(self._finish(chunk, modality, writers[modality], failed[modality]) for modality in modalities)

    def _writer(self, chunk: Chunk, modality: str) -> ShardWriter:
        return ShardWriter(self.root.below(modality), modality, chunk.shard_name)

    def _add(self, item: SourceItem, modality: str, writer: ShardWriter) -> None:
        sample = self.source.load(item, modality)
        writer.add(sample.metadata, sample.media[modality])

    def _finish(self, chunk: Chunk, modality: str, writer: ShardWriter, failed: list[FailedSample]) -> PackedShard:
        packed = PackedShard(modality=modality, split=chunk.split, shard=writer.close(), failed=tuple(failed))
        key = f"{STATE_FOLDER}/{self.plan_digest}/{chunk.shard_name}.json"
        self.root.below(modality).write(key, packed.model_dump_json().encode())
        return packed


def failed_sample(item: SourceItem, modality: str, cause: str, file: str | None = None) -> FailedSample:
    """The report's line for a sample that was not packed."""
    return FailedSample(id=item.id, split=item.split, modality=modality, cause=cause, file=file)
