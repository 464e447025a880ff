"""The shared space of several modalities in two dimensions, by principal components."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from raybind.evaluation.metrics import unit_embeddings

_MOST_POINTS = 500
_MOST_NAMES = 12
_FEW_TEXTS = 60
"""Up to which stars are large; more would hide what they are compared with."""
_STYLES = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#D55E00", "P"))
"""Colours that the colour-blind can tell apart (Okabe and Ito), each with a marker of its own."""


def space_png(embeddings: Mapping[str, Tensor], title: str, text_names: Sequence[str] = ()) -> bytes:
    """All modalities on the two axes along which they vary most, together.

    Args:
        embeddings: (N, D) unit-norm by modality; `text` is drawn as stars. Of more than 500 a seeded draw is shown.
        text_names: written beside the stars, if they are few.
    Raises: DataError: bad embeddings.
    """
    drawn = {name: unit_embeddings(_some(one), name) for name, one in embeddings.items()}
    points, shares = _principal(torch.cat(list(drawn.values())))
    figure = Figure(figsize=(8.5, 6.5), layout="constrained")
    axes = figure.subplots()
    first, stars = 0, []
    for number, (name, one) in enumerate(drawn.items()):
        x, y = points[first : first + len(one)].T
        axes.scatter(x, y, alpha=0.7, linewidths=0, label=f"{name} ({len(one)})", **_style(name, number, len(one)))
        if name == "text" and len(text_names) <= _MOST_NAMES:
            stars = list(zip(x.tolist(), y.tolist(), text_names, strict=False))
        first += len(one)
    axes.set(
        title=title,
        xlabel=f"first principal component ({shares[0]:.0%} of the variance)",
        ylabel=f"second principal component ({shares[1]:.0%})",
    )
    axes.grid(alpha=0.25)
    _write_names(axes, stars)
    figure.legend(loc="outside right upper", title="points shown", markerscale=1.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _style(name: str, number: int, num_points: int) -> dict[str, Any]:
    if name != "text":
        colour, marker = _STYLES[number % len(_STYLES)]
        return {"s": 26, "c": colour, "marker": marker, "zorder": 2}
    few = num_points <= _FEW_TEXTS
    return {"s": 90 if few else 26, "c": "black" if few else "grey", "marker": "*", "zorder": 3 if few else 1}


def _write_names(axes: Axes, stars: Sequence[tuple[float, float, str]]) -> None:
    """Towards the middle, one above the other where stars stand close."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    line, away, middle = 0.035 * (high - low), 0.04 * (right - left), (left + right) / 2
    for is_left in (True, False):
        free = low
        for x, y, name in sorted((star for star in stars if (star[0] < middle) == is_left), key=lambda star: star[1]):
            free = max(y, free + line)
            axes.annotate(
                name,
                (x, y),
                (x + away, free) if is_left else (x - away, free),
                ha="left" if is_left else "right",
                va="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.6},
                parse_math=False,
            )


def _some(embeddings: Tensor) -> Tensor:
    if len(embeddings) <= _MOST_POINTS:
        return embeddings
    chosen = np.sort(np.random.default_rng(0).choice(len(embeddings), _MOST_POINTS, replace=False))
    return embeddings[chosen]


def _principal(points: Tensor) -> tuple[np.ndarray, tuple[float, float]]:
    """(N, 2) places and the share of the variance of each axis; an axis points where its largest entry is positive."""
    centred = points - points.mean(dim=0)
    _, strengths, axes = torch.linalg.svd(centred, full_matrices=False)
    variance = strengths.square() / strengths.square().sum().clamp_min(torch.finfo(strengths.dtype).tiny)
    axes = torch.nn.functional.pad(axes[:2], (0, 0, 0, max(0, 2 - len(axes))))
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = torch.where(largest < 0, -axes, axes)
    shares = [*variance[:2].tolist(), 0.0, 0.0]
    return (centred @ axes.T).numpy(), (shares[0], shares[1])
