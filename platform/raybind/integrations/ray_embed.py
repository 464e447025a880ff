"""Embedding the items of a split over a Ray cluster, for evaluation: actors that hold the encoder, a batch at a time.

Every item is embedded exactly once; one that cannot be read ends the evaluation with its name.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
import ray.data
import torch

from raybind.config.data import DataConfig
from raybind.config.evaluate import WorkersConfig
from raybind.data.manifest import SplitIndex
from raybind.data.reader import SampleReader
from raybind.errors import ConfigError, DataError
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


def embed_split(
    encoder: TrainedEncoder, index: SplitIndex, data: DataConfig, workers: WorkersConfig
) -> Iterator[EmbeddedItems]:
    """Embed all items of a split.

    Args:
        data: which texts an item has; preprocessing is the encoder's own.
    Yields: batches as they are ready, in any order; `EmbeddedItems.in_order_of` puts them together.
    Raises: DataError: an item cannot be read; names it.
    """
    firsts = range(0, len(index), workers.batch_size)
    data = data.model_copy(update={"preprocess": encoder.preprocess, "modality": encoder.modality})
    results = map_rows(
        [{"first": first, "last": min(first + workers.batch_size, len(index))} for first in firsts],
        _Embedder,
        fn_constructor_args=(ray.put(encoder), ray.put(index), data, workers),
        compute=ray.data.ActorPoolStrategy(size=min(workers.number, len(firsts))),
        num_cpus=workers.cpus,
        num_gpus=1 if workers.use_gpu else None,
    )
    for row in results:
        if row["error"] is not None:
            raise DataError(row["error"])
        yield table_items(pa.ipc.open_stream(row["items"]).read_all())


class _Embedder:
    """Holds the encoder; each worker is one."""

    def __init__(self, encoder: Any, index: Any, data: DataConfig, workers: WorkersConfig) -> None:
        torch.set_num_threads(max(1, int(workers.cpus)))
        trained: TrainedEncoder = ray.get(encoder)
        self._device = torch.device("cuda" if workers.use_gpu else "cpu")
        self._encoder = trained.merged().build().encoder.to(self._device)
        self._reader = SampleReader(ray.get(index), data, trained.arch.vision.input, seed=0)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Which items in, their embeddings out."""
        (row,) = batch.to_pylist()
        numbers = range(row["first"], row["last"])
        try:
            found = embed_items(
                lambda pixels: self._encoder(pixels.to(self._device)), read_items(self._reader, numbers, len(numbers))
            )
        except (DataError, OSError) as error:
            return _result(None, str(error))
        sink = pa.BufferOutputStream()
        table = items_table(found)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return _result(sink.getvalue().to_pybytes(), None)


def _result(items: bytes | None, error: str | None) -> pa.Table:
    return pa.table({"items": [items], "error": [error]}, pa.schema([("items", pa.binary()), ("error", pa.string())]))
