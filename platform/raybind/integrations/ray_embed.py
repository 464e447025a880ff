"""Embedding the items of splits over a Ray cluster, for evaluation: actors that hold the encoder, a batch at a time.

Every item is embedded exactly once; one that cannot be read ends the evaluation with its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
import torch

from raybind.config.data import DataConfig, PreprocessConfig
from raybind.config.evaluate import WorkersConfig
from raybind.data.manifest import SplitIndex
from raybind.data.reader import SampleReader
from raybind.errors import ConfigError, DataError
from raybind.evaluation.benchmark import fuse
from raybind.evaluation.embedding_cache import items_table, table_items
from raybind.evaluation.items import EmbeddedItems, embed_items, read_items
from raybind.integrations.ray_rows import map_rows
from raybind.model.trained import TrainedEncoder


def check_resources(workers: WorkersConfig) -> None:
    """Raises: ConfigError: the cluster cannot hold one worker, so that nothing would ever start."""
    available = ray.cluster_resources()
    for name, wanted in (("CPU", workers.cpus), ("GPU", float(workers.use_gpu))):
        if available.get(name, 0) < wanted:
            raise ConfigError(
                f"a worker takes {wanted:g} {name} (workers.cpus={workers.cpus:g}, workers.use_gpu={workers.use_gpu}), "
                f"and the Ray cluster has {available.get(name, 0):g} in all"
            )


@dataclass(frozen=True)
class SplitViews:
    """A split and how its items are looked at."""

    index: SplitIndex
    data: DataConfig
    """Which texts an item has."""
    views: tuple[PreprocessConfig, ...]
    """One or more; their embeddings are joined."""


def embed_splits(
    encoder: TrainedEncoder, splits: Sequence[SplitViews], workers: WorkersConfig
) -> Iterator[tuple[int, EmbeddedItems]]:
    """Embed all items of splits of one modality; each worker gets the encoder once.

    Yields: the number of a split and a batch of its items, as they are ready, in any order;
        `EmbeddedItems.in_order_of` puts the batches of a split together.
    Raises: DataError: an item cannot be read; names it.
    """
    rows = [
        {"split": number, "first": first, "last": min(first + workers.batch_size, len(split.index))}
        for number, split in enumerate(splits)
        for first in range(0, len(split.index), workers.batch_size)
    ]
    results = map_rows(
        rows,
        _Embedder,
        fn_constructor_args=(ray.put(encoder), ray.put(tuple(splits)), workers),
        compute=ray.data.ActorPoolStrategy(size=min(workers.number, len(rows))),
        num_cpus=workers.cpus,
        num_gpus=1 if workers.use_gpu else None,
    )
    for row in results:
        if row["error"] is not None:
            raise DataError(row["error"])
        yield row["split"], table_items(pa.ipc.open_stream(row["items"]).read_all())


class _Embedder:
    """Holds the encoder; each worker is one."""

    def __init__(self, encoder: Any, splits: Any, workers: WorkersConfig) -> None:
        torch.set_num_threads(max(1, int(workers.cpus)))
        trained: TrainedEncoder = ray.get(encoder)
        self._device = torch.device("cuda" if workers.use_gpu else "cpu")
        self._encoder = trained.merged().build().encoder.to(self._device)
        self._readers = [_readers(split, trained) for split in ray.get(splits)]

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Which items in, their embeddings out."""
        (row,) = batch.to_pylist()
        numbers = range(row["first"], row["last"])
        try:
            seen = [self._embed(reader, numbers) for reader in self._readers[row["split"]]]
        except (DataError, OSError) as error:
            return _result(row["split"], None, str(error))
        sink = pa.BufferOutputStream()
        table = items_table(EmbeddedItems(seen[0].items, fuse([one.embeddings for one in seen])))
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return _result(row["split"], sink.getvalue().to_pybytes(), None)

    def _embed(self, reader: SampleReader, numbers: range) -> EmbeddedItems:
        return embed_items(
            lambda pixels: self._encoder(pixels.to(self._device)), read_items(reader, numbers, len(numbers))
        )


def _readers(split: SplitViews, trained: TrainedEncoder) -> list[SampleReader]:
    """One for each view."""
    return [
        SampleReader(
            split.index,
            split.data.model_copy(update={"preprocess": preprocess, "modality": trained.modality}),
            trained.arch.vision.input,
            seed=0,
        )
        for preprocess in split.views
    ]


def _result(split: int, items: bytes | None, error: str | None) -> pa.Table:
    schema = pa.schema([("split", pa.int64()), ("items", pa.binary()), ("error", pa.string())])
    return pa.table({"split": [split], "items": [items], "error": [error]}, schema)
