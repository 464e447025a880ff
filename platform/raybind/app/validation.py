"""Evaluation inside a training job: each worker embeds its share of the split."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist

from raybind.data.reader import SampleReader
from raybind.evaluation.evaluate import evaluate
from raybind.evaluation.items import EmbeddedItems, EncodeTexts, Item, ItemBatch, embed_items, read_items
from raybind.evaluation.report import to_metrics
from raybind.training.ports import Engine, WorkerContext

BATCH_SIZE = 64


@dataclass
class Validation:
    """Callable of `training.loop.Loop.validate`."""

    reader: SampleReader
    numbers: list[int]
    engine: Engine
    encode_texts: EncodeTexts
    context: WorkerContext
    label_set: str | None
    templates: tuple[str, ...]
    _batches: list[ItemBatch] = field(default_factory=list)

    def __call__(self) -> dict[str, float]:
        """The metrics; every rank runs the same forward passes, texts included, as ZeRO stage 3 needs."""
        rank, world_size = self.context.rank, self.context.world_size
        share = -(-len(self.numbers) // world_size)
        if not self._batches:
            mine = [self.numbers[i % len(self.numbers)] for i in range(rank * share, (rank + 1) * share)]
            self._batches = list(read_items(self.reader, mine, BATCH_SIZE))
        embedded = embed_items(lambda pixels: self.engine.encode(pixels.to(self.context.device)), self._batches)
        everyone: list[tuple[tuple[Item, ...], torch.Tensor]] = [(embedded.items, embedded.embeddings)]
        if world_size > 1:
            everyone = everyone * world_size
            dist.all_gather_object(everyone, (embedded.items, embedded.embeddings))
        items = tuple(item for part, _ in everyone for item in part)[: len(self.numbers)]
        embeddings = torch.cat([part for _, part in everyone])[: len(self.numbers)]
        return to_metrics(
            evaluate(
                EmbeddedItems(items, embeddings),
                self.encode_texts,
                self.reader.config.modality,
                self.reader.index.split,
                self.label_set,
                self.templates,
            )
        )


def spread(num_samples: int, max_samples: int) -> list[int]:
    """At most `max_samples` sample numbers, spread evenly over the split."""
    if num_samples <= max_samples:
        return list(range(num_samples))
    return np.linspace(0, num_samples - 1, max_samples).round().astype(int).tolist()
