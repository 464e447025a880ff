"""Pictures of a zero-shot classification, as PNG bytes: where the errors go, and what the embedding space looks like.

Drawn on matplotlib `Figure` objects without pyplot, so nothing global is touched and no display is needed.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from raybind.evaluation.metrics import unit_embeddings
from raybind.evaluation.zero_shot import ClassificationResult

_MAX_ANNOTATED = 20
"""Classes up to which every cell shows its number."""

_MAX_NAMED = 60
"""Classes up to which the axes show names; beyond, they would overlap."""


def confusion_png(result: ClassificationResult, title: str) -> bytes:
    """Confusion matrix: shade is the share of the row's class, the number is how many items."""
    totals = result.confusion.sum(axis=1, keepdims=True)
    share = 100 * result.confusion / np.maximum(totals, 1)
    cells = [[f"{count}" if count else "" for count in row] for row in result.confusion]
    rows = [f"{name} ({total})" for name, total in zip(result.class_names, totals[:, 0], strict=True)]
    return _heat_map(
        share,
        cells,
        title=title,
        rows=("true class (items)", rows),
        columns=("predicted class", result.class_names),
        colour=("share of the true class, %", 0.0, 100.0),
    )


def similarity_png(items: Tensor, classes: Tensor, labels: Tensor, class_names: Sequence[str], title: str) -> bytes:
    """Cosine similarity of each class's mean item embedding with each class's prompt embedding.

    A good encoder has its highest value of every row on the diagonal. A class without items has an empty row.

    Args:
        items: (N, D) unit-norm, float32.
        classes: (C, D) unit-norm, float32.
        labels: (N,) int64.
    """
    items_ND, classes_CD = unit_embeddings(items, "items"), unit_embeddings(classes, "classes")
    sums_CD = torch.zeros_like(classes_CD).index_add_(0, labels.cpu(), items_ND)
    means_CD = sums_CD / sums_CD.norm(dim=1, keepdim=True)
    similarity = (means_CD @ classes_CD.T).numpy()
    return _heat_map(
        similarity,
        [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in similarity],
        title=title,
        rows=("items of class (mean embedding)", class_names),
        columns=("prompt of class", class_names),
        colour=("cosine similarity", float(np.nanmin(similarity)), float(np.nanmax(similarity))),
    )


def _heat_map(
    values: np.ndarray,
    cells: Sequence[Sequence[str]],
    title: str,
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    colour: tuple[str, float, float],
) -> bytes:
    """Draw a (C, C) matrix; `rows` and `columns` are (axis label, names), `colour` is (label, lowest, highest)."""
    named, annotated = len(values) <= _MAX_NAMED, len(values) <= _MAX_ANNOTATED
    side = 3 + len(values) * (0.45 if annotated else 0.18) if named else 10.0  # inches
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    label, lowest, highest = colour
    image = axes.imshow(values, cmap="Blues", vmin=lowest, vmax=highest)
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    number = "" if named else ", class number"
    axes.set(title=title, ylabel=rows[0] + number, xlabel=columns[0] + number)
    if named:
        _name_classes(axes, rows[1], columns[1])
    if annotated:
        _write_cells(axes, cells, values > (lowest + highest) / 2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _name_classes(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    roomy = len(rows) <= _MAX_ANNOTATED
    axes.set_yticks(range(len(rows)), rows, fontsize=10 if roomy else 8)
    axes.set_xticks(range(len(columns)), columns, fontsize=10 if roomy else 8)
    for tick in axes.get_xticklabels():
        tick.set(rotation=45 if roomy else 90, ha="right" if roomy else "center")
        tick.set_rotation_mode("anchor" if roomy else "default")


def _write_cells(axes: Axes, cells: Sequence[Sequence[str]], is_dark: np.ndarray) -> None:
    for row, texts in enumerate(cells):
        for column, text in enumerate(texts):
            ink = "white" if is_dark[row, column] else "black"
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
