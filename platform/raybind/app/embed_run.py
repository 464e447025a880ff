"""Running an embedding: batch after batch into the Parquet file, bad files noted on the way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raybind.app.console import console
from raybind.app.embed import files_at
from raybind.config.embed import EmbedConfig
from raybind.errors import DataError
from raybind.inference.language_bind import LanguageBind

SCHEMA = pa.schema([("id", pa.string()), ("modality", pa.string()), ("embedding", pa.list_(pa.float32()))])


def run(config: EmbedConfig) -> None:
    """Embed everything. Raises: DataError: some files could not be embedded; lists them."""
    files = {modality: _files(modality, places) for modality, places in config.media.items()}
    texts = _texts(config)
    model = LanguageBind.from_pretrained(config.model, device=config.device)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    with pq.ParquetWriter(output, SCHEMA) as writer, _progress() as progress:
        for modality, paths in files.items():
            task = progress.add_task(modality, total=len(paths))
            done = 0
            for batch in model.embed_each(modality, paths, config.batch_size):
                failures += _write_batch(writer, modality, paths[done : done + len(batch)], batch)
                done += len(batch)
                progress.update(task, completed=done)
        task = progress.add_task("text", total=len(texts))
        for first in range(0, len(texts), config.batch_size):
            batch = texts[first : first + config.batch_size]
            _write_batch(writer, "text", batch, list(model.embed_text(batch, config.batch_size).numpy()))
            progress.update(task, advance=len(batch))
    total = sum(map(len, files.values())) + len(texts)
    console.print(f"{output}: {total - len(failures):,} embeddings")
    if failures:
        listed = "\n".join(f"  {failure}" for failure in failures)
        raise DataError(f"{len(failures)} of {total} items could not be embedded:\n{listed}")


def _files(modality: str, places: Sequence[str]) -> list[str]:
    """A file that several places mean is embedded once."""
    return list(dict.fromkeys(file for place in places for file in files_at(modality, place)))


def _texts(config: EmbedConfig) -> list[str]:
    lines = Path(config.text_file).read_text(encoding="utf-8").splitlines() if config.text_file is not None else []
    return [*config.texts, *(line for line in lines if line.strip())]


def _write_batch(
    writer: pq.ParquetWriter, modality: str, ids: Sequence[str], batch: Sequence[np.ndarray | DataError]
) -> list[str]:
    """Write what could be embedded. Returns: what could not."""
    rows = [
        {"id": item_id, "modality": modality, "embedding": item}
        for item_id, item in zip(ids, batch, strict=True)
        if not isinstance(item, DataError)
    ]
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    return [str(item) for item in batch if isinstance(item, DataError)]


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)
