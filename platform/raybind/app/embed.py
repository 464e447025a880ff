"""Embedding files and texts from the command line; `raybind embed` and `jobs/embed.py`."""

import glob
from pathlib import Path

from raybind.app.cli import run_job
from raybind.config.embed import EmbedConfig
from raybind.data.media_headers import type_of_name
from raybind.errors import ConfigError
from raybind.modalities import check_modality, get_modality

EXAMPLES = """examples:
  raybind embed model=exports/depth media.depth=rooms/ texts='["a bedroom", "a kitchen"]' output=rooms.parquet
  raybind embed model.audio=exports/audio model.image=exports/image media.audio='[sounds/*.wav]' \\
    media.image=[a.jpg,b.jpg] text_file=captions.txt output=embeddings.parquet device=cuda

A file that cannot be read is left out and listed at the end, with exit code 1; all others are written.
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """Entry point of `raybind embed`. Returns: the exit code."""
    return run_job("Embed media and texts in one space.", EmbedConfig, run, check, argv, EXAMPLES, prog=prog)


def check(config: EmbedConfig) -> None:
    """Raises: ConfigError: an input that is not there, or an output that cannot be written."""
    if not config.output.endswith(".parquet"):
        raise ConfigError(f"output={config.output!r} must end in .parquet")
    if config.text_file is not None and not Path(config.text_file).is_file():
        raise ConfigError(f"text_file={config.text_file!r} is not a file")
    for modality, places in config.media.items():
        check_modality(modality)
        for place in places:
            files_at(modality, place)


def run(config: EmbedConfig) -> None:
    """Embed and write. Raises: DataError: some files could not be embedded; lists them."""
    # torch takes seconds to import, which `--check` must not wait for.
    from raybind.app.embed_run import run as run_checked

    run_checked(config)


def files_at(modality: str, place: str) -> list[str]:
    """The files that a path, a folder or a pattern means, sorted. Raises: ConfigError: there are none."""
    path = Path(place)
    if path.is_file():
        return [place]
    if path.is_dir():
        types = get_modality(modality).file_types
        files = sorted(str(file) for file in path.rglob("*") if file.is_file() and type_of_name(file.name) in types)
        wanted = f" of type {', '.join(types)}"
    else:
        files = sorted(file for file in glob.glob(place, recursive=True) if Path(file).is_file())
        wanted = ""
    if not files:
        raise ConfigError(f"media.{modality}: {place!r} holds no file{wanted}; give files, folders or patterns")
    return files
