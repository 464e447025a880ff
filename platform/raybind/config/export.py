"""Configuration of `jobs/export.py`."""

from typing import Literal

from raybind.config.base import Config


class ExportConfig(Config):
    """A trained encoder as a directory that stands alone."""

    checkpoint: str
    """Folder of a run (its newest checkpoint is taken) or of one checkpoint, local or `s3://bucket/prefix`; or a local
    directory to convert: an earlier export, official LanguageBind, or Hugging Face CLIP."""
    format: Literal["raybind", "languagebind", "hugging_face"] = "raybind"
    """raybind: our own, which loses nothing. languagebind: what the official classes load. hugging_face: what
    transformers' CLIPModel loads, LoRA merged; image, infrared and depth only."""
    output: str
    """Local folder to write, empty or not there yet."""
