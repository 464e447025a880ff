"""95 % confidence intervals: which one belongs to which metric, and why.

| metric                | interval                                                        |
|-----------------------|-----------------------------------------------------------------|
| top-1, top-5 accuracy | Wilson, items are independent trials                            |
| class-mean accuracy   | Wilson with the effective number of items of a balanced mean    |
| R@k                   | Wilson, the captions of one item count as one trial             |
| median and mean rank  | percentile bootstrap over queries, captions of an item together |

Proportions take Wilson's interval because the bootstrap gives [0, 0] for a score of 0 % and [1, 1] for 100 %, which
would make any two such scores differ "significantly". For the class mean the stratified bootstrap is worse still: a
class with a single item never varies. On 14 classes of 1 to 31 items it holds the true value in 63 % of repeated
experiments where it promises 95 %; the effective-count Wilson interval does in 97 %.

References: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
"""

import math

import numpy as np

RESAMPLES = 2000
"""Bootstrap resamples; the ends of a 95 % percentile interval want 1,000 or more (Efron & Tibshirani, Sec. 14.2)."""

Interval = tuple[float, float]

_Z = 1.959963984540054
"""97.5 % point of the standard normal distribution."""

_CHUNK_ELEMENTS = 2**22
"""Resampled queries held at once."""


def wilson(proportion: float, count: float) -> Interval:
    """Wilson's score interval for a proportion of `count` independent trials (which may be an effective number)."""
    scale = 1 + _Z**2 / count
    centre = (proportion + _Z**2 / (2 * count)) / scale
    half_width = _Z / scale * math.sqrt(proportion * (1 - proportion) / count + _Z**2 / (4 * count**2))
    # Rounding can push an end past the estimate at 0 and 1, where they are equal.
    return max(0.0, min(proportion, centre - half_width)), min(1.0, max(proportion, centre + half_width))


def effective_count(class_counts: np.ndarray) -> float:
    """The number of independent trials whose proportion varies as much as a mean over classes.

    C**2 / sum(1 / n_c), from Var = p (1 - p) / C**2 * sum(1 / n_c) with one rate p; equals the number of items where
    classes are balanced, and falls as classes get rare.

    Args:
        class_counts: (C,) items of each class, 1 or more.
    """
    return float(len(class_counts) ** 2 / (1 / class_counts).sum())


def bootstrap_ranks(ranks: np.ndarray, clusters: np.ndarray, seed: int = 0) -> tuple[Interval, Interval]:
    """Percentile bootstrap of the median and of the mean rank.

    Args:
        ranks: (Q,) int64.
        clusters: (Q,) int64; queries with the same number (captions of one item) are drawn together.
    Returns: the intervals of the median and of the mean.
    """
    order = np.argsort(ranks, kind="stable")
    ranks = ranks[order]
    names, members = np.unique(clusters[order], return_inverse=True)
    rng = np.random.default_rng(seed)
    medians, means = [], []
    chunk = max(1, _CHUNK_ELEMENTS // len(ranks))
    for start in range(0, RESAMPLES, chunk):
        draws = min(chunk, RESAMPLES - start)
        weights = _times_drawn(rng, len(names), draws)[:, members]
        medians.append(_medians(ranks, weights.cumsum(axis=1)))
        means.append(weights @ ranks / weights.sum(axis=1))
    return _percentiles(np.concatenate(medians)), _percentiles(np.concatenate(means))


def _times_drawn(rng: np.random.Generator, number: int, draws: int) -> np.ndarray:
    """(draws, number) int64, how often each is in a resample; takes a quarter of the time of `rng.multinomial`."""
    drawn = rng.integers(number, size=(draws, number)) + number * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * number).reshape(draws, number)


def _medians(sorted_ranks: np.ndarray, cumulative: np.ndarray) -> np.ndarray:
    """Median of each resample, from how many of its queries stand at or before each place of `sorted_ranks`."""
    twice, total = 2 * cumulative, cumulative[:, -1:]
    return (sorted_ranks[(twice >= total).argmax(axis=1)] + sorted_ranks[(twice > total).argmax(axis=1)]) / 2


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
