"""Configuration of the packing job: where the media are, which modalities to pack, where the shards go."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from raybind.config.base import Config
from raybind.config.tiny_vidal import TinyVidalConfig


class SourceConfig(Config):
    """What to pack."""

    kind: Literal["jsonl", "vidal", "tiny_vidal"]
    """Layout of the source: jsonl (a folder with annotations.jsonl), vidal (the official VIDAL annotation json with its
    media folders) or tiny_vidal (the built-in synthetic world, which needs no files)."""
    location: str | None = None
    """Folder of the media, a local path that every node sees or s3://bucket/prefix; unset for tiny_vidal."""
    annotations: str | None = None
    """Annotation file, relative to location; unset means annotations.jsonl for jsonl, and must be set for vidal."""

    @model_validator(mode="after")
    def _names_its_files(self) -> "SourceConfig":
        if self.kind == "tiny_vidal" and (self.location or self.annotations):
            raise ValueError("source.kind=tiny_vidal is generated; leave source.location and source.annotations unset")
        if self.kind != "tiny_vidal" and not self.location:
            raise ValueError(f"source.kind={self.kind} needs source.location, the folder of its media")
        if self.kind == "vidal" and not self.annotations:
            raise ValueError("source.kind=vidal needs source.annotations, the annotation json relative to the location")
        return self


class ShardsConfig(Config):
    """Where shards go and how they are made."""

    output: str
    """Root of the shards, a local path or s3://bucket/prefix; a modality goes to <output>/<modality>/."""
    modalities: tuple[str, ...] = ()
    """Modalities to pack (video, image, depth, infrared, audio); none named means all that the source has."""
    samples_per_shard: int = Field(default=256, ge=1)
    """Samples of the source per shard number; shard N of every modality holds the same stretch of the source."""
    overwrite: bool = False
    """Pack again a modality that is already complete at the output; its shards are replaced."""
    num_cpus: float = Field(default=1.0, gt=0)
    """CPUs that one packing task takes of the Ray cluster; one task writes one shard number."""

    @field_validator("modalities")
    @classmethod
    def _named_once(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modalities)) < len(modalities):
            raise ValueError("a modality is named twice")
        return modalities


class PackConfig(ShardsConfig):
    """The packing job."""

    source: SourceConfig
    """What to pack."""
    tiny_vidal: TinyVidalConfig = TinyVidalConfig()
    """The synthetic world, for source.kind=tiny_vidal."""
    seed: int = 0
    """Seed of the train/val split, for samples whose source names no split."""
    val_fraction: float = Field(default=0.01, ge=0, lt=1)
    """Share of the samples without a split that go to val, drawn by a hash of (seed, id)."""
