"""Configuration of `jobs/export_base.py`."""

from raybind.config.base import Config


class ExportBaseConfig(Config):
    """A pretrained base as one open_clip weights file."""

    checkpoint: str
    """Folder of a run that trained the language encoder too, or of one of its checkpoints."""
    output: str
    """Local file to write, `.safetensors`, in open_clip's layout, float16."""
