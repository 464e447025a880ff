"""A benchmark's tasks on embeddings: zero-shot and multi-label classification, retrieval, joint and emergent retrieval.

One mechanism does all of them. An item is made of one or more modalities, a query of text, modalities or both; where
there are several, their unit vectors are added and the sum made unit-norm again. LanguageBind's Tables 6 and 7 do not
say how embeddings are joined (one of its authors speaks of averaging the two modalities' logits: the same sum, of
another length); with equal weights no modality is preferred, and nothing is fitted to the test.

Legend: N items, D embedding.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.config.benchmark import TEXT, Benchmark, Task, Views
from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.evaluation.items import EmbeddedItems, EncodeTexts, Item
from raybind.evaluation.metrics import Score
from raybind.evaluation.multi_label import MultiLabelResult, classify_multi_label
from raybind.evaluation.prompts import class_embeddings
from raybind.evaluation.retrieval import RetrievalResult, retrieve_as_published
from raybind.evaluation.zero_shot import ClassificationResult, classify
from raybind.modalities import get_modality
from raybind.model.prompts import modality_templates

REVERSE = "reverse/"
"""Before the metrics of items that ask for queries."""


@dataclass(frozen=True)
class TaskResult:
    """What a task found."""

    task: Task
    ids: tuple[str, ...]
    """Of the items that took part."""
    num_there: int
    """Items that a sample was drawn of; all of them where the task draws none."""
    found: ClassificationResult | MultiLabelResult | RetrievalResult
    items: Tensor
    """(N, D) unit-norm float32, fused where a task has several modalities."""
    asked: Tensor
    """(Q, D) unit-norm float32: the queries of a retrieval, else the prompts of the classes."""
    item_of_query: Tensor | None = None
    """(Q,) int64 of a retrieval: the item each query is of."""
    texts: tuple[str, ...] | None = None
    """The queries of a retrieval, where they are text alone."""

    def scores(self) -> dict[str, Score]:
        """By metric name, as benchmark files name them."""
        if not isinstance(self.found, RetrievalResult):
            return self.found.scores()
        reverse = {f"{REVERSE}{name}": score for name, score in self.found.item_to_text.scores().items()}
        return self.found.text_to_item.scores() | reverse


@torch.inference_mode()
def run_task(
    task: Task, benchmark: Benchmark, embedded: Mapping[str, EmbeddedItems], encode_texts: EncodeTexts
) -> TaskResult:
    """Score one task.

    Args:
        embedded: by modality; only items that have all modalities of the task take part.
        encode_texts: of the language encoder that all modalities are bound to.
    Raises: DataError: no item takes part, or one lacks the label or caption that is asked for.
    """
    there = _having_all(task, embedded)
    ids = _sampled(there, task.sample)
    if not ids:
        raise DataError(
            f"{benchmark.config.name}: no item has {' and '.join(task.modalities)}; prepare the benchmark again with "
            "all of its files in place"
        )
    rows = {name: _rows(embedded[name], ids) for name in task.modalities}
    items = [embedded[task.items[0]].items[row] for row in rows[task.items[0]]]
    vectors = {name: embedded[name].embeddings[rows[name]] for name in task.modalities}
    fused = fuse([vectors[name] for name in task.items])
    templates = _templates(task, benchmark)
    if task.kind == "retrieval":
        queries, item_of_query, texts = _queries(task, items, vectors, templates, encode_texts)
        found = retrieve_as_published(fused, queries, item_of_query)
        return TaskResult(task, ids, len(there), found, fused, queries, item_of_query, texts)
    names = benchmark.class_names
    classes = class_embeddings(names, templates, encode_texts)
    carried = _carried(items, names)
    if task.kind == "multi_label":
        found = classify_multi_label(fused, classes, carried, names)
    else:
        found = classify(fused, classes, _only_class(items, carried), names)
    return TaskResult(task, ids, len(there), found, fused, classes)


def views_of(preprocess: PreprocessConfig, views: Views) -> tuple[PreprocessConfig, ...]:
    """Preprocessing of each view of a video; their embeddings are joined by `fuse`."""
    crops = ("centre",) if views.crops == 1 else ("start", "centre", "end")
    return tuple(
        preprocess.model_copy(
            update={"crop": crop, "video": preprocess.video.model_copy(update={"stretch": (clip, views.clips)})}
        )
        for clip in range(views.clips)
        for crop in crops
    )


def fuse(embeddings: Sequence[Tensor]) -> Tensor:
    """The (N, D) unit vectors of several modalities as one; a single one stays as it is."""
    if len(embeddings) == 1:
        return embeddings[0]
    return torch.nn.functional.normalize(torch.stack(list(embeddings)).double().sum(dim=0), dim=-1).float()


def _having_all(task: Task, embedded: Mapping[str, EmbeddedItems]) -> tuple[str, ...]:
    """The ids of items that have all modalities of a task, in the order of its first."""
    common = set.intersection(*({item.id for item in embedded[name].items} for name in task.modalities))
    return tuple(item.id for item in embedded[task.items[0]].items if item.id in common)


def _sampled(ids: tuple[str, ...], share: float) -> tuple[str, ...]:
    """A share of the ids, drawn by a hash of each: the same ones whatever their order."""
    drawn = set(sorted(ids, key=_hash)[: max(1, round(share * len(ids)))])
    return tuple(name for name in ids if name in drawn)


def _queries(
    task: Task,
    items: Sequence[Item],
    vectors: Mapping[str, Tensor],
    templates: Sequence[str],
    encode_texts: EncodeTexts,
) -> tuple[Tensor, Tensor, tuple[str, ...] | None]:
    """The queries' embeddings, which item each belongs to, and how they read where they are text alone."""
    if task.queries == (TEXT,):
        texts = [(text, place) for place, item in enumerate(items) for text in _captions(item)]
        words = tuple(text for text, _ in texts)
        return encode_texts(words), torch.tensor([place for _, place in texts]), words
    parts = [_words(items, templates, encode_texts) if name == TEXT else vectors[name] for name in task.queries]
    return fuse(parts), torch.arange(len(items)), None


def _words(items: Sequence[Item], templates: Sequence[str], encode_texts: EncodeTexts) -> Tensor:
    """One text of each item: its first caption, or its class."""
    if all(item.captions for item in items):
        return encode_texts([item.captions[0] for item in items])
    names = [_classes(item)[0] for item in items]
    distinct = sorted(set(names))
    return class_embeddings(distinct, templates, encode_texts)[[distinct.index(name) for name in names]]


def _captions(item: Item) -> tuple[str, ...]:
    if not item.captions:
        raise DataError(f"item {item.id} has no caption to retrieve it by")
    return item.captions


def _classes(item: Item) -> tuple[str, ...]:
    if not item.classes:
        raise DataError(f"item {item.id} has no class")
    return item.classes


def _carried(items: Sequence[Item], names: Sequence[str]) -> np.ndarray:
    """(N, C) bool: which classes each item has."""
    place = {name: number for number, name in enumerate(names)}
    carried = np.zeros((len(items), len(names)), dtype=bool)
    for row, item in enumerate(items):
        for name in _classes(item):
            if name not in place:
                raise DataError(f"item {item.id} is of the class {name!r}, which the benchmark does not list")
            carried[row, place[name]] = True
    return carried


def _only_class(items: Sequence[Item], carried: np.ndarray) -> Tensor:
    several = np.flatnonzero(carried.sum(axis=1) != 1)
    if len(several):
        raise DataError(f"item {items[several[0]].id} has several classes; its task must be of the kind multi_label")
    return torch.from_numpy(carried.argmax(axis=1))


def _templates(task: Task, benchmark: Benchmark) -> tuple[str, ...]:
    return benchmark.config.templates or modality_templates(get_modality(task.items[0]).photo_words)


def _rows(embedded: EmbeddedItems, ids: Sequence[str]) -> list[int]:
    place = {item.id: number for number, item in enumerate(embedded.items)}
    return [place[name] for name in ids]


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
