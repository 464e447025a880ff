"""Which sample goes into which shard: decided once from the source's listing, before any media are read.

The samples of a split, in the order of the source, are cut into chunks of `samples_per_shard`; shard N of every
modality holds those samples of chunk N that have it. So ids and splits agree across modalities, shard N of one modality
is the counterpart of shard N of another, and neither parallelism nor a restart changes a byte.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from raybind.construction.sources.base import Source, SourceItem
from raybind.data.manifest import shard_name
from raybind.errors import ConfigError


@dataclass(frozen=True)
class Chunk:
    """The stretch of the source that one shard number covers, in every modality."""

    split: str
    number: int
    items: tuple[SourceItem, ...]

    @property
    def shard_name(self) -> str:
        """File name of its shard, the same in every modality."""
        return shard_name(self.split, self.number)

    def has(self, modality: str) -> bool:
        """Whether any of its samples announces the modality."""
        return any(modality in item.modalities for item in self.items)

    def to_bytes(self) -> bytes:
        """Canonical JSON: what a packing task is given, and what the plan's digest is made of."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Chunk":
        """The inverse of `to_bytes`."""
        values = json.loads(data)
        items = (item | {"modalities": tuple(item["modalities"])} for item in values["items"])
        return cls(values["split"], values["number"], tuple(SourceItem(**item) for item in items))


@dataclass(frozen=True)
class PackPlan:
    """All chunks of a source."""

    modalities: tuple[str, ...]
    """Modalities to pack."""
    chunks: tuple[Chunk, ...]
    """By split, then number."""
    unpackable: tuple[SourceItem, ...]
    """Items whose `problem` keeps them out of every chunk."""
    digest: str
    """SHA-256 of the source's name and the chunks: the same plan makes the same shards."""

    @property
    def items(self) -> tuple[SourceItem, ...]:
        """Every item of the source."""
        return (*self.unpackable, *(item for chunk in self.chunks for item in chunk.items))


def make_plan(source: Source, modalities: Sequence[str], samples_per_shard: int) -> PackPlan:
    """List the source and cut it into chunks.

    Args:
        modalities: to pack; none means all that a sample of the source has.
    Raises:
        ConfigError: the source is empty, or no sample of it has a wanted modality.
    """
    for modality in modalities:
        if modality not in source.modalities:
            known = ", ".join(source.modalities)
            raise ConfigError(f"{source.name} cannot have the modality {modality!r}; it can have {known}")
    items = source.plan()
    packable = [item for item in items if item.problem is None]
    if not packable:
        problem = (
            f"none of its {len(items)} samples can be packed: {items[0].problem}" if items else "it lists no samples"
        )
        raise ConfigError(f"{source.name}: {problem}; correct the source")
    announced = {modality for item in packable for modality in item.modalities}
    if missing := [modality for modality in modalities if modality not in announced]:
        has = ", ".join(sorted(announced)) or "no media"
        raise ConfigError(f"{source.name} has no sample with {' or '.join(missing)}; it has {has}. Correct modalities")
    chunks = _cut(packable, samples_per_shard)
    wanted = tuple(modalities) or tuple(sorted(announced))
    unpackable = tuple(item for item in items if item.problem is not None)
    return PackPlan(wanted, chunks, unpackable, _digest(source, chunks))


def _cut(items: Sequence[SourceItem], samples_per_shard: int) -> tuple[Chunk, ...]:
    by_split: dict[str, list[SourceItem]] = {}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    return tuple(
        Chunk(split, number, tuple(by_split[split][start : start + samples_per_shard]))
        for split in sorted(by_split)
        for number, start in enumerate(range(0, len(by_split[split]), samples_per_shard))
    )


def _digest(source: Source, chunks: Sequence[Chunk]) -> str:
    digest = hashlib.sha256(source.name.encode())
    for chunk in chunks:
        digest.update(chunk.to_bytes())
    return digest.hexdigest()
