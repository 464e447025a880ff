"""A trained encoder as a directory for inference, for the official LanguageBind code, or for transformers."""

from pathlib import Path

from raybind import __version__
from raybind.app.cli import run_job
from raybind.app.console import console
from raybind.app.evaluate import find_checkpoint, is_directory
from raybind.config.export import ExportConfig
from raybind.errors import ConfigError

EXAMPLES = """examples:
  python jobs/export.py checkpoint=runs/depth output=exports/depth
  python jobs/export.py checkpoint=runs/depth format=languagebind output=exports/LanguageBind_Depth
  python jobs/export.py checkpoint=exports/depth format=hugging_face output=exports/depth-clip
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Entry point of `jobs/export.py`. Returns: the exit code."""
    description = "Export a trained encoder with its tokenizer and preprocessing."
    return run_job(description, ExportConfig, run, check, argv, EXAMPLES, prog=prog)


def check(config: ExportConfig) -> None:
    """Raises: ConfigError: no checkpoint, or an output that is not empty."""
    if not is_directory(config.checkpoint):
        find_checkpoint(config.checkpoint)
    output = Path(config.output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ConfigError(f"output={config.output!r} is not empty; name a new folder")


def run(config: ExportConfig) -> None:
    """Write the directory. Raises: ConfigError: the format cannot hold this encoder."""
    # torch takes seconds to import, which `--check` must not wait for.
    from raybind.model.layouts import read_encoder, write_encoder
    from raybind.training.export import trained_encoder

    if is_directory(config.checkpoint):
        encoder = read_encoder(Path(config.checkpoint))
    else:
        encoder = trained_encoder(find_checkpoint(config.checkpoint), __version__)
    output = Path(config.output)
    write_encoder(encoder, config.format, output)
    size = sum(file.stat().st_size for file in output.iterdir())
    console.print(f"{output}: {encoder.modality} encoder, {config.format} layout, {size / 1e6:.1f} MB")
