"""`raybind.json`: what an exported directory says of itself, beside its weights."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from raybind.config.data import PreprocessConfig
from raybind.config.model import LoraConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture

Layout = Literal["raybind", "languagebind", "hugging_face"]

RECORD_FILE = "raybind.json"
FORMAT_VERSION = 1


class Record(BaseModel):
    """`raybind.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    layout: Layout
    """How the tensors beside it are named."""
    modality: str
    architecture: ClipArchitecture
    lora: LoraConfig | None
    """LoRA beside the weights; null: none, or merged."""
    preprocess: PreprocessConfig
    prompts: tuple[str, ...]
    """Templates of zero-shot classification, with `{}` for the class name."""
    provenance: dict[str, str]


def read_record(folder: Path) -> Record:
    """Raises: ConfigError: it cannot be read, or is of another format version."""
    path = folder / RECORD_FILE
    try:
        values = json.loads(path.read_text())
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ConfigError(f"{path} has format version {version}, this release reads {FORMAT_VERSION}")
        return Record.model_validate(values)
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def write_record(record: Record, folder: Path) -> None:
    """Write it into a folder."""
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=2) + "\n")
