"""Configuration of an audit (`jobs/audit.py`)."""

from pydantic import Field

from raybind.config.base import Config
from raybind.config.data import DataConfig


class AuditConfig(Config):
    """Reading every sample of a data set as training would, and writing down what is wrong."""

    data: DataConfig
    """Where the shards are, which texts and which preprocessing training would use; a skip list is not looked at."""
    splits: tuple[str, ...] | None = None
    """Splits to read; null reads all."""
    image_size: int = Field(default=224, ge=1)
    """Pixels of the encoder's square image, as the architecture that is to be trained has it."""
    output: str
    """Local folder or s3://bucket/prefix for audit.json, audit.md and skip.jsonl, which a training takes as
    data.skip_list."""
    num_cpus: float = Field(default=1, gt=0)
    """CPUs of the Ray cluster that the audit of one shard takes."""
