"""Text <-> item retrieval in both directions: R@k, median and mean rank.

What counts as right, where a text belongs to several items or an item has several texts:

- Texts that read the same are one text, embedded once: one query text -> item, one candidate item -> text. (The same:
  equal but for case and white space, which CLIP's tokenizer does not see.)
- Text -> item: every item that carries the text is right, and the best of them counts. Each different text is one
  query, however many items carry it.
- Item -> text: every text of the item is right, and the best of them counts.
- Right answers never push one another down, and chance takes their number into account.
- Ties are broken against the right answer (`metrics.rank_right`).

Published evaluations count otherwise, and figures are compared only where both count alike (`retrieve_as_published`):
every text is a query of its own whose one right item is the one it was written for, though others carry the same words;
back, an item stands for all its texts, as similar as the most similar of them (CLIP4Clip, which LanguageBind follows).

Legend: N items, T texts, P pairs, Q queries, D embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.errors import DataError
from raybind.evaluation.intervals import bootstrap_ranks, wilson
from raybind.evaluation.metrics import Ranking, Score, chance_rank_distribution, rank_right

RECALL_AT = (1, 5, 10)
"""The k of R@k (LanguageBind, Table 11)."""


@dataclass(frozen=True)
class Captions:
    """The different texts of a set of items and which item carries which.

    `texts`: T, in order of first appearance. `pairs` (P, 2) int64: a text and an item that carries it.
    """

    texts: tuple[str, ...]
    pairs: Tensor


@dataclass(frozen=True)
class DirectionResult:
    """Retrieval in one direction."""

    recall: Mapping[int, Score]
    """By k; only k below the number of candidates."""
    median_rank: Score
    mean_rank: Score
    num_candidates: int
    ranking: Ranking
    """Rank and first candidate of every query."""

    @property
    def num_queries(self) -> int:
        """Q."""
        return len(self.ranking.ranks)

    def scores(self) -> dict[str, Score]:
        """All scores by metric name."""
        recall = {f"recall_at_{k}": score for k, score in self.recall.items()}
        return {**recall, "median_rank": self.median_rank, "mean_rank": self.mean_rank}


@dataclass(frozen=True)
class RetrievalResult:
    """Retrieval in both directions."""

    text_to_item: DirectionResult
    item_to_text: DirectionResult


def gather_captions(captions: Sequence[Sequence[str]]) -> Captions:
    """Merge texts that read the same.

    Args:
        captions: the texts of each item, in the order of the item embeddings.
    Raises: DataError: an item without a text.
    """
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    pairs: dict[tuple[int, int], None] = {}
    for item, item_texts in enumerate(captions):
        if not item_texts:
            raise DataError(f"item {item} of {len(captions)} has no caption; retrieval needs one or more for each item")
        for text in item_texts:
            key = " ".join(text.split()).lower()
            texts.setdefault(key, text)
            pairs[numbers.setdefault(key, len(numbers)), item] = None
    return Captions(tuple(texts.values()), torch.tensor(list(pairs), dtype=torch.int64).reshape(-1, 2))


def retrieve(items: Tensor, texts: Tensor, pairs: Tensor) -> RetrievalResult:
    """Score retrieval in both directions.

    Intervals: Wilson for R@k and a percentile bootstrap for ranks, both over queries; the texts of an item are not
    independent, so texts first seen with the same item count as one trial and are drawn together.

    Args:
        items: (N, D) unit-norm, float32.
        texts: (T, D) unit-norm, float32: the embeddings of `Captions.texts`.
        pairs: (P, 2) int64: `Captions.pairs`.
    Raises: DataError: a text or an item without its counterpart, bad embeddings.
    """
    item_to_text = _direction(items, texts, pairs.flip(1), np.arange(len(items)), len(texts))
    first_item = torch.full((len(texts),), len(items)).scatter_reduce(0, pairs[:, 0], pairs[:, 1], "amin").numpy()
    text_to_item = _direction(texts, items, pairs, first_item, len(items))
    return RetrievalResult(text_to_item=text_to_item, item_to_text=item_to_text)


def retrieve_as_published(items: Tensor, texts: Tensor, item_of_text: Tensor) -> RetrievalResult:
    """Score retrieval in both directions as published evaluations count (see above); intervals as `retrieve`.

    Args:
        items: (N, D) unit-norm, float32.
        texts: (T, D) unit-norm, float32; other queries than texts will do too.
        item_of_text: (T,) int64, the item each belongs to; every item has one or more.
    Raises: DataError: a text or an item without its counterpart, bad embeddings.
    """
    pairs = torch.stack([torch.arange(len(texts)), item_of_text], dim=1)
    own = torch.arange(len(items))
    return RetrievalResult(
        text_to_item=_direction(texts, items, pairs, item_of_text.numpy(), len(items)),
        item_to_text=_direction(
            items, texts, torch.stack([own, own], dim=1), own.numpy(), len(items), groups=item_of_text
        ),
    )


def _direction(
    queries: Tensor,
    gallery: Tensor,
    pairs: Tensor,
    clusters: np.ndarray,
    num_candidates: int,
    groups: Tensor | None = None,
) -> DirectionResult:
    ranking = rank_right(queries, gallery, pairs, groups)
    chance = chance_rank_distribution(np.bincount(pairs[:, 0].numpy()), num_candidates)
    trials = len(np.unique(clusters))
    recall = {k: _recall(k, ranking.ranks, trials, chance) for k in RECALL_AT if k < num_candidates}
    median_interval, mean_interval = bootstrap_ranks(ranking.ranks, clusters)
    return DirectionResult(
        recall=recall,
        median_rank=Score(float(np.median(ranking.ranks)), *median_interval, chance=_median(chance)),
        mean_rank=Score(float(ranking.ranks.mean()), *mean_interval, chance=float(1 + (1 - chance).sum())),
        num_candidates=num_candidates,
        ranking=ranking,
    )


def _recall(k: int, ranks: np.ndarray, trials: int, chance: np.ndarray) -> Score:
    value = float((ranks <= k).mean())
    return Score(value, *wilson(value, trials), chance=float(chance[k - 1]))


def _median(cumulative: np.ndarray) -> float:
    """The middle of a distribution over ranks; between two ranks where exactly half lies below."""
    low, high = np.searchsorted(cumulative, [0.5 - 1e-9, 0.5 + 1e-9])
    return float(low + high) / 2 + 1
