"""Ranks of the right answers, and the score a table shows: the one primitive under classification and retrieval.

Zero-shot classification ranks class prompts for an item, retrieval ranks items for a text or texts for an item; both
ask how high the best right candidate stands, so both call `rank_right`. Making embeddings is not done here.

Legend: Q queries, G gallery (the candidates of every query), D embedding, P pairs.

Ties are broken pessimistically: a right candidate loses to every wrong one of equal similarity, so an encoder that
maps everything to one point scores zero. Similarities are computed in float64, and two that differ by less than
`TIE_TOLERANCE` are equal: rounding cannot decide, and ranks do not depend on chunks, threads or the order of rows.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.errors import DataError

TIE_TOLERANCE = 1e-12
"""Cosine similarity; above the float64 rounding of two dot products of unit vectors (2 * D * 2**-53), D up to 4096."""

UNIT_NORM_TOLERANCE = 1e-3
"""Largest deviation of an embedding's length from 1."""

_CHUNK_ELEMENTS = 2**23
"""Similarities held at once: 64 MiB in float64."""


@dataclass(frozen=True)
class Score:
    """One number of a report with what it has to be judged against; proportions lie in [0, 1], ranks start at 1."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    chance: float
    """Expected value of a uniformly random answer."""
    majority: float | None = None
    """Value of the best constant answer; None where no such answer exists."""


@dataclass(frozen=True)
class Ranking:
    """How every query fared.

    `ranks` (Q,) int64: 1 + the number of wrong candidates at least as similar as the best right one.
    `best` (Q,) int64: the candidate in first place; a right one only where the rank is 1.
    """

    ranks: np.ndarray
    best: np.ndarray


def rank_right(queries: Tensor, gallery: Tensor, pairs: Tensor, groups: Tensor | None = None) -> Ranking:
    """Rank the best right candidate of every query among all wrong candidates.

    Several candidates can be right for a query; they never count against one another.

    Args:
        queries: (Q, D) unit-norm, float32.
        gallery: (G, D) unit-norm, float32.
        pairs: (P, 2) int64, each a query and a candidate that is right for it; every query has one or more.
        groups: (G,) int64, the group of each of the gallery, 0 to the number of groups; then groups are the candidates,
            each as similar as its most similar member.
    Raises: DataError: embeddings that are not finite or not unit-norm, a query without a right candidate, or a group
        without a member.
    """
    queries_QD = unit_embeddings(queries, "queries")
    gallery_GD = unit_embeddings(gallery, "candidates")
    num_candidates = len(gallery_GD) if groups is None else int(groups.max()) + 1
    query_P, candidate_P = _by_query(pairs, len(queries_QD), num_candidates)
    if groups is not None and (empty := torch.nonzero(torch.bincount(groups) == 0).flatten()).numel():
        raise DataError(f"{len(empty)} groups of candidates have no member, first group {int(empty[0])}")
    chunk = max(1, _CHUNK_ELEMENTS // len(gallery_GD))
    ranked = []
    for start in range(0, len(queries_QD), chunk):
        similarity = queries_QD[start : start + chunk] @ gallery_GD.T
        if groups is not None:
            most = torch.full((len(similarity), num_candidates), -torch.inf, dtype=similarity.dtype)
            similarity = most.scatter_reduce_(1, groups.expand_as(similarity), similarity, "amax")
        bounds = torch.tensor([start, start + len(similarity)])
        first, last = torch.searchsorted(query_P, bounds).tolist()
        ranked.append(_rank_rows(similarity, query_P[first:last] - start, candidate_P[first:last]))
    ranks, best = (torch.cat(parts).numpy() for parts in zip(*ranked, strict=True))
    return Ranking(ranks, best)


def chance_rank_distribution(num_right: np.ndarray, num_candidates: int) -> np.ndarray:
    """The distribution of the best right candidate's rank under random ordering, averaged over queries.

    Args:
        num_right: (Q,) int64, right candidates of each query, 1 or more.
    Returns: (G,) float64; entry k - 1 is the probability of a rank of at most k.
    """
    place = np.arange(num_candidates)
    cumulative = np.zeros(num_candidates)
    for right, queries in zip(*np.unique(num_right, return_counts=True), strict=True):
        missed = np.cumprod(np.clip(num_candidates - right - place, 0, None) / (num_candidates - place))
        cumulative += (1 - missed) * queries
    return cumulative / len(num_right)


def unit_embeddings(embeddings: Tensor, what: str) -> Tensor:
    """Check (N, D) unit-norm embeddings and give them as float64 on the CPU. Raises: DataError."""
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise DataError(f"{what}: expected embeddings of shape (N, D) with N > 0, got {tuple(embeddings.shape)}")
    embeddings = embeddings.detach().to("cpu", torch.float64)
    error = (embeddings.norm(dim=1) - 1).abs()
    bad = torch.nonzero(~(error <= UNIT_NORM_TOLERANCE)).flatten()  # a comparison with NaN is false
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{what}: {len(bad)} of {len(embeddings)} embeddings are not finite unit vectors, first row {row} with "
            f"length {embeddings[row].norm():.4g}; normalise them, and look for NaN in the encoder's weights"
        )
    return embeddings


def _by_query(pairs: Tensor, num_queries: int, num_candidates: int) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor([num_queries, num_candidates])
    if bool(((pairs < 0) | (pairs >= sizes)).any()):
        raise DataError(f"a right pair lies outside {num_queries} queries x {num_candidates} candidates")
    lonely = torch.nonzero(torch.bincount(pairs[:, 0], minlength=num_queries) == 0).flatten()
    if len(lonely):
        raise DataError(f"{len(lonely)} queries have no right candidate, first query {int(lonely[0])}")
    query_P, order = pairs[:, 0].sort()
    return query_P, pairs[order, 1]


def _rank_rows(similarity: Tensor, row_P: Tensor, candidate_P: Tensor) -> tuple[Tensor, Tensor]:
    """Ranks and first candidates of the rows of `similarity`, which is used up."""
    num_rows, num_candidates = similarity.shape
    right_P = similarity[row_P, candidate_P]
    best_right = torch.full((num_rows,), -torch.inf, dtype=similarity.dtype)
    best_right = best_right.scatter_reduce(0, row_P, right_P, "amax")
    foremost_P = torch.where(right_P == best_right[row_P], candidate_P, num_candidates)
    right_index = torch.full((num_rows,), num_candidates).scatter_reduce(0, row_P, foremost_P, "amin")
    similarity[row_P, candidate_P] = -torch.inf
    ranks = 1 + (similarity >= best_right[:, None] - TIE_TOLERANCE).count_nonzero(dim=1)
    return ranks, torch.where(ranks == 1, right_index, similarity.argmax(dim=1))
