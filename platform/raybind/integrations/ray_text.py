"""Embedding all texts of a data set over a Ray cluster: actors that hold the language encoder, one shard at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
import torch

from raybind.config.model import ModelConfig
from raybind.data.manifest import SplitIndex
from raybind.data.shard_reader import read_many_metadata
from raybind.data.storage import Storage
from raybind.data.text_cache import write_shard
from raybind.data.texts import all_texts
from raybind.errors import DataError, RayBindError
from raybind.integrations.ray_rows import map_rows
from raybind.model.bound import load_language_encoder
from raybind.model.encode import text_encoder
from raybind.model.tokenizer import Tokenizer

_RESULT = pa.schema([("num_texts", pa.int64()), ("error", pa.string())])
_CHUNK = 2048
"""Prompts of one task."""


@dataclass(frozen=True)
class TextActors:
    """How many actors of which size embed."""

    number: int
    cpus: float
    threads: int
    use_gpu: bool

    def map(self, rows: list[dict[str, Any]], actor: type, *arguments: Any) -> Iterator[dict[str, Any]]:
        """Every row through one of the actors; results come as they are ready."""
        return map_rows(
            rows,
            actor,
            fn_constructor_args=arguments,
            compute=ray.data.ActorPoolStrategy(size=min(self.number, len(rows))),
            num_cpus=self.cpus,
            num_gpus=1 if self.use_gpu else None,
        )


def embed_shards(
    actors: TextActors,
    model: ModelConfig,
    indices: Mapping[str, SplitIndex],
    work: Sequence[tuple[str, int]],
    output: Storage,
) -> Iterator[int]:
    """Embed the texts of shards and store them.

    Args:
        work: split and number of each shard.
        output: rooted at the cache's folder.
    Yields: the number of texts of each shard as it is stored.
    Raises: RayBindError: a shard could not be read; what is stored stays.
    """
    rows = [{"split": split, "shard": shard} for split, shard in work]
    references = {split: ray.put(index) for split, index in indices.items()}
    for row in actors.map(rows, _ShardActor, model, actors.threads, references, output):
        if row["error"] is not None:
            raise RayBindError(f"embedding stopped: {row['error']}. What is stored stays; run the same command again")
        yield row["num_texts"]


def embed_prompts(actors: TextActors, model: ModelConfig, prompts: Sequence[str]) -> dict[str, np.ndarray]:
    """(E,) float32 of every prompt."""
    rows = [{"texts": list(prompts[first : first + _CHUNK])} for first in range(0, len(prompts), _CHUNK)]
    found: dict[str, np.ndarray] = {}
    for row in actors.map(rows, _PromptActor, model, actors.threads) if rows else ():
        found |= zip(row["texts"], np.asarray(row["embeddings"], np.float32), strict=True)
    return found


class _TextActor:
    """Holds the language encoder."""

    def __init__(self, model: ModelConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder, text, _ = load_language_encoder(model)
        self._encode = text_encoder(encoder.to(device), Tokenizer(text.vocab_size, text.context_length), device)

    def embed(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """(E,) float32 of every distinct text."""
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self._encode(distinct).numpy(), strict=True)) if distinct else {}


class _ShardActor(_TextActor):
    def __init__(self, model: ModelConfig, threads: int, indices: Mapping[str, Any], output: Storage) -> None:
        super().__init__(model, threads)
        self._indices: dict[str, SplitIndex] = {split: ray.get(index) for split, index in indices.items()}
        self._output = output

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A shard's number in, how many texts it has out."""
        row: dict[str, Any] = batch.to_pylist()[0]
        try:
            num_texts = self._embed_shard(self._indices[row["split"]], row["shard"])
        except (DataError, OSError) as error:
            return pa.table({"num_texts": [0], "error": [str(error)]}, schema=_RESULT)
        return pa.table({"num_texts": [num_texts], "error": [None]}, schema=_RESULT)

    def _embed_shard(self, index: SplitIndex, shard: int) -> int:
        samples = np.flatnonzero(index.shard == shard)
        texts = [all_texts(metadata.texts) for metadata in read_many_metadata(index, samples.tolist())]
        flat = [text for sample in texts for text in sample]
        write_shard(self._output, index.shards[shard].name, texts, self.embed(flat))
        return len(flat)


class _PromptActor(_TextActor):
    def __call__(self, batch: pa.Table) -> pa.Table:
        """Texts in, the same with their embeddings out."""
        (row,) = batch.to_pylist()
        found = self.embed(row["texts"])
        return pa.table({"texts": [list(found)], "embeddings": [[value.tolist() for value in found.values()]]})
