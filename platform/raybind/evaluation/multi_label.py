"""Multi-label zero-shot classification: mean average precision, the metric of AudioSet.

Every class ranks all items by their similarity with its prompt; the average precision of a class is
AP = sum over thresholds of (recall - recall before) * precision, and mAP its mean over classes. That is scikit-learn's
`average_precision_score`, without interpolation, and ImageBind's protocol for AudioSet.

Ties: items of equal similarity pass a threshold together, so an encoder that maps everything to one point scores the
share of items that carry the class, which is chance. As in `metrics`, similarities are float64 and two that differ by
less than rounding can tell are equal.

Legend: N items, C classes, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.errors import DataError
from raybind.evaluation.metrics import Score, unit_embeddings

RESAMPLES = 200
"""Bootstrap resamples; enough for a standard error (Efron & Tibshirani, Sec. 6.4)."""

_DECIMALS = 11
"""Of a similarity; float64 rounding of a dot product stays below."""

_Z = 1.959963984540054
_CLASSES_AT_ONCE = 16


@dataclass(frozen=True)
class MultiLabelResult:
    """What `classify_multi_label` found; rows follow `class_names`."""

    class_names: tuple[str, ...]
    mean_average_precision: Score
    average_precision: np.ndarray
    """(C,) float64, NaN for a class that no item carries."""
    num_items: int

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    def scores(self) -> dict[str, Score]:
        """By metric name."""
        return {"mean_average_precision": self.mean_average_precision}


def classify_multi_label(
    items: Tensor, classes: Tensor, carried: np.ndarray, class_names: Sequence[str], seed: int = 0
) -> MultiLabelResult:
    """Score items that carry any number of classes.

    Interval: the value plus and minus 1.96 standard errors, from a bootstrap over items.

    Args:
        items: (N, D) unit-norm, float32.
        classes: (C, D) unit-norm prompt embeddings, float32.
        carried: (N, C) bool.
        seed: of the bootstrap.
    Raises: DataError: sizes that do not fit, no class that an item carries, bad embeddings.
    """
    if carried.shape != (len(items), len(classes)) or len(classes) != len(class_names):
        raise DataError(
            f"{len(items)} items, {len(classes)} class embeddings and {len(class_names)} class names do not fit labels "
            f"of shape {carried.shape}"
        )
    present = np.asarray(carried.sum(axis=0) > 0)
    if not present.any():
        raise DataError(f"none of the {len(class_names)} classes is carried by an item; check the labels")
    items_ND, classes_CD = unit_embeddings(items, "items"), unit_embeddings(classes, "classes")
    weights = _bootstrap_weights(len(items_ND), seed)
    found = np.full((len(class_names), len(weights)), np.nan)
    for first in range(0, len(class_names), _CLASSES_AT_ONCE):
        some = slice(first, first + _CLASSES_AT_ONCE)
        similarity = torch.round(items_ND @ classes_CD[some].T, decimals=_DECIMALS).numpy()
        for place in range(similarity.shape[1]):
            if present[first + place]:
                found[first + place] = _average_precision(similarity[:, place], carried[:, first + place], weights)
    return MultiLabelResult(tuple(class_names), _score(found, carried), found[:, 0], len(items_ND))


def average_precision(similarity: np.ndarray, carried: np.ndarray) -> float:
    """Of one class. Args: similarity (N,) float64, carried (N,) bool, one or more true."""
    return float(_average_precision(similarity, carried, np.ones((1, len(similarity))))[0])


def _bootstrap_weights(num_items: int, seed: int) -> np.ndarray:
    """How often each resample draws each item; the first row is the sample itself."""
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=RESAMPLES)
    return np.concatenate([np.ones((1, num_items)), draws]).astype(np.float32)


def _average_precision(similarity: np.ndarray, carried: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of every row of weights (R, N); NaN where no item of the class was drawn."""
    order = np.argsort(-similarity, kind="stable")
    right = np.flatnonzero(carried[order])
    ends = np.flatnonzero(np.append(np.diff(similarity[order]) != 0, True))
    # Recall grows only at the thresholds that an item of the class passes.
    thresholds, last = _groups(np.searchsorted(ends, right))
    weights = weights[:, order]
    # Whole numbers below 2**24, which float32 adds exactly.
    passed = weights.cumsum(axis=1)[:, ends[thresholds]].astype(np.float64)
    found = weights[:, right].cumsum(axis=1)[:, last].astype(np.float64)
    gained = np.diff(found, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (gained * np.where(passed > 0, found / passed, 0.0)).sum(axis=1) / found[:, -1]


def _groups(sorted_numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different numbers, and the last place of each."""
    numbers, counts = np.unique(sorted_numbers, return_counts=True)
    return numbers, counts.cumsum() - 1


def _score(found: np.ndarray, carried: np.ndarray) -> Score:
    present = carried.any(axis=0)
    means = np.nanmean(found[present], axis=0)
    value, half_width = float(means[0]), float(_Z * means[1:].std(ddof=1))
    chance = float(carried.mean(axis=0)[present].mean())
    return Score(value, max(0.0, value - half_width), min(1.0, value + half_width), chance=chance)
