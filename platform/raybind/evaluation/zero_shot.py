"""Zero-shot classification: an item belongs to the class whose prompt embedding is most similar.

Works on finished embeddings. Multi-label tasks are not for this module: every item has one right class.

Legend: N items, C classes, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.errors import DataError
from raybind.evaluation.intervals import effective_count, wilson
from raybind.evaluation.metrics import Score, rank_right


@dataclass(frozen=True)
class ClassificationResult:
    """What `classify` found. Rows and columns follow `class_names`."""

    class_names: tuple[str, ...]
    top1: Score
    top5: Score | None
    """None for five classes or fewer, where every answer would be right."""
    class_mean: Score
    """Mean of the accuracies of the classes that have items (balanced accuracy)."""
    per_class_accuracy: np.ndarray
    """(C,) float64, NaN for a class without items."""
    confusion: np.ndarray
    """(C, C) int64: items of the row's class that were given the column's class."""
    labels: np.ndarray
    """(N,) int64, the right class of each item."""
    predictions: np.ndarray
    """(N,) int64."""

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.predictions)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def chance(self) -> float:
        """Accuracy of uniform guessing, 1 / C."""
        return self.top1.chance

    @property
    def majority_rate(self) -> float:
        """Accuracy of always answering the most frequent class."""
        assert self.top1.majority is not None
        return self.top1.majority

    def scores(self) -> dict[str, Score]:
        """The scores that exist, by metric name."""
        scores = {"top1": self.top1, "top5": self.top5, "class_mean": self.class_mean}
        return {name: score for name, score in scores.items() if score is not None}


def classify(items: Tensor, classes: Tensor, labels: Tensor, class_names: Sequence[str]) -> ClassificationResult:
    """Score zero-shot classification; the right class loses every tie (`metrics.rank_right`).

    Intervals: Wilson over items for top-1 and top-5; Wilson over the effective number of items for the class mean.

    Args:
        items: (N, D) unit-norm, float32.
        classes: (C, D) unit-norm prompt embeddings, float32 (`prompts.class_embeddings`).
        labels: (N,) int64, the right class of each item.
        class_names: C different names.
    Raises: DataError: sizes that do not fit, repeated class names, labels outside [0, C), bad embeddings.
    """
    _check(items, classes, labels, class_names)
    ranking = rank_right(items, classes, torch.stack([torch.arange(len(labels)), labels.cpu()], dim=1))
    num_classes, true = len(class_names), labels.cpu().numpy()
    counts = np.bincount(true, minlength=num_classes)
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (true, ranking.best), 1)
    with np.errstate(invalid="ignore"):
        per_class = confusion.diagonal() / counts
    return ClassificationResult(
        class_names=tuple(class_names),
        top1=_top(1, ranking.ranks, counts),
        top5=_top(5, ranking.ranks, counts) if num_classes > 5 else None,
        class_mean=_class_mean(per_class, counts),
        per_class_accuracy=per_class,
        confusion=confusion,
        labels=true,
        predictions=ranking.best,
    )


def _top(k: int, ranks: np.ndarray, counts: np.ndarray) -> Score:
    value = float((ranks <= k).mean())
    majority = float(np.sort(counts)[-k:].sum() / counts.sum())
    return Score(value, *wilson(value, len(ranks)), chance=k / len(counts), majority=majority)


def _class_mean(per_class: np.ndarray, counts: np.ndarray) -> Score:
    present = counts > 0
    value = float(per_class[present].mean())
    interval = wilson(value, effective_count(counts[present]))
    return Score(value, *interval, chance=1 / len(counts), majority=float(1 / present.sum()))


def _check(items: Tensor, classes: Tensor, labels: Tensor, class_names: Sequence[str]) -> None:
    if len(items) != len(labels):
        raise DataError(f"{len(items)} items but {len(labels)} labels; every item needs its label")
    if len(classes) != len(class_names):
        raise DataError(f"{len(classes)} class embeddings but {len(class_names)} class names")
    if len(set(class_names)) != len(class_names):
        repeated = sorted({name for name in class_names if list(class_names).count(name) > 1})
        raise DataError(
            f"class names occur twice: {', '.join(repeated)}; merge the classes, nothing can tell them apart"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(class_names):
        raise DataError(f"labels lie in [{labels.min()}, {labels.max()}], {len(class_names)} classes allow [0, C)")
