"""A contact sheet of a retrieval: some queries with their first hits, right ones and wrong ones."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from raybind.evaluation.metrics import unit_embeddings

_RIGHT, _WRONG = "#1a7f37", "#b3261e"
_LINE = 22
"""Characters of a line of text in a cell."""


@dataclass(frozen=True)
class Shown:
    """How a query or an item looks."""

    caption: str
    picture: np.ndarray | None
    """(H, W, 3) uint8; None where it is text alone."""


@dataclass(frozen=True)
class SheetRow:
    """A query and what it found."""

    query: Shown
    hits: tuple[tuple[Shown, float, bool], ...]
    """Candidate, cosine similarity, whether it is right; the best first."""
    rank: int
    """Of the best right candidate."""


def choose_queries(ranks: np.ndarray, number: int, seed: int = 0) -> tuple[int, ...]:
    """Up to `number` queries, half of them answered right at once and half not where there are as many; ascending."""
    generator = np.random.default_rng(seed)
    right, wrong = (generator.permutation(np.flatnonzero(chosen)) for chosen in (ranks == 1, ranks > 1))
    num_right = min(len(right), max(number - number // 2, number - len(wrong)))
    chosen = [*right[:num_right], *wrong[: number - num_right]]
    return tuple(sorted(int(query) for query in chosen))


def first_hits(queries: Tensor, gallery: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The candidates in the first places; of equal similarity the one that is listed first.

    Args:
        queries: (Q, D) unit-norm.
        gallery: (N, D) unit-norm.
    Returns: (Q, number) int64 places in the gallery, fewer where it is smaller, and their float64 similarities.
    """
    similarity = unit_embeddings(queries, "queries") @ unit_embeddings(gallery, "candidates").T
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :number]
    return order, torch.gather(similarity, 1, order)


def retrieval_sheet_png(rows: Sequence[SheetRow], title: str, query_label: str, item_label: str) -> bytes:
    """One row for each query: itself, then its candidates, right ones framed green with a tick, others red."""
    columns = 1 + max(len(row.hits) for row in rows)
    figure = Figure(figsize=(2.0 * columns + 0.4, 2.35 * len(rows) + 0.9), layout="constrained")
    figure.suptitle(title)
    cells = figure.subplots(len(rows), columns, squeeze=False)
    for row, axes in zip(rows, cells, strict=True):
        _draw(axes[0], row.query, f"right one at rank {row.rank}", "black")
        for place, cell in enumerate(axes[1:]):
            if place >= len(row.hits):
                cell.axis("off")
                continue
            shown, similarity, right = row.hits[place]
            sign, colour = ("✓", _RIGHT) if right else ("✗", _WRONG)
            _draw(cell, shown, f"{sign} {similarity:.3f}", colour)
    cells[0][0].set_title(f"query: {query_label}", fontsize=9)
    for place, cell in enumerate(cells[0][1:], start=1):
        cell.set_title(f"{item_label}, place {place}", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _draw(axes: Axes, shown: Shown, below: str, colour: str) -> None:
    axes.set(xticks=[], yticks=[])
    for edge in axes.spines.values():
        edge.set(color=colour, linewidth=1.0 if colour == "black" else 3.0)
    if shown.picture is None:
        axes.set_box_aspect(1)
        axes.text(
            0.5,
            0.5,
            _cut(shown.caption, 7),
            ha="center",
            va="center",
            fontsize=9,
            transform=axes.transAxes,
            parse_math=False,
        )
        axes.set_xlabel(below, color=colour, fontsize=9)
        return
    axes.imshow(shown.picture)
    axes.set_xlabel(f"{below}\n{_cut(shown.caption, 2)}", color=colour, fontsize=8, parse_math=False)


def _cut(text: str, lines: int) -> str:
    return "\n".join(textwrap.wrap(text, _LINE, max_lines=lines, placeholder=" …"))
