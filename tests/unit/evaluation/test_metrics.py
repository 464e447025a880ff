"""Ranks equal a brute-force definition, ties go against the right answer, and order does not matter."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raybind.errors import DataError
from raybind.evaluation import metrics
from raybind.evaluation.metrics import chance_rank_distribution, rank_right

# Few different vectors, so that most similarities tie.
POOL = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [-1, 0, 2]]), dim=1)


def random_unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def brute_force_ranks(queries: torch.Tensor, gallery: torch.Tensor, right: set[tuple[int, int]]) -> list[int]:
    ranks = []
    for q, query in enumerate(queries.double().numpy()):
        similarity = [float(query @ candidate) for candidate in gallery.double().numpy()]
        best = max(similarity[g] for g in range(len(gallery)) if (q, g) in right)
        ranks.append(1 + sum(s >= best - 1e-12 for g, s in enumerate(similarity) if (q, g) not in right))
    return ranks


@st.composite
def tied_tasks(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, set[tuple[int, int]]]:
    rows = st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=7)
    queries, gallery = draw(rows), draw(rows)
    candidates = st.integers(0, len(gallery) - 1)
    right = {(q, g) for q in range(len(queries)) for g in draw(st.sets(candidates, min_size=1))}
    return POOL[queries], POOL[gallery], right


@given(tied_tasks())
def test_ranks_equal_brute_force_with_ties_and_several_right_candidates(task):
    queries, gallery, right = task
    ranking = rank_right(queries, gallery, torch.tensor(sorted(right, reverse=True)))
    assert ranking.ranks.tolist() == brute_force_ranks(queries, gallery, right)
    first_is_right = [(q, int(g)) in right for q, g in enumerate(ranking.best)]
    assert first_is_right == (ranking.ranks == 1).tolist()


def test_ranks_equal_brute_force_on_random_embeddings():
    queries, gallery = random_unit(40, 16, seed=0), random_unit(30, 16, seed=1)
    right = {(q, (7 * q + step) % 30) for q in range(40) for step in range(1 + q % 3)}
    ranking = rank_right(queries, gallery, torch.tensor(list(right)))
    assert ranking.ranks.tolist() == brute_force_ranks(queries, gallery, right)


def test_an_encoder_that_maps_everything_to_one_point_is_last_everywhere():
    point = random_unit(1, 768, seed=0)
    identity = torch.arange(50)[:, None].repeat(1, 2)
    assert (rank_right(point.repeat(50, 1), point.repeat(50, 1), identity).ranks == 50).all()


def test_ranks_do_not_depend_on_order_or_chunks(monkeypatch):
    queries, gallery = random_unit(300, 96, seed=0), random_unit(50, 96, seed=1)[torch.arange(200) % 50]
    pairs = torch.stack([torch.arange(300), torch.arange(300) % 200], dim=1)
    whole = rank_right(queries, gallery, pairs).ranks
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    moved = torch.stack([pairs[:, 0], order.argsort()[pairs[:, 1]]], dim=1)
    monkeypatch.setattr(metrics, "_CHUNK_ELEMENTS", 200 * 7)
    assert (rank_right(queries, gallery[order], moved).ranks == whole).all()


@pytest.mark.parametrize("num_right", [1, 2, 5])
def test_chance_equals_the_count_over_all_orders(num_right):
    orders = list(itertools.permutations(range(5)))
    ranks = np.array([1 + min(order.index(candidate) for candidate in range(num_right)) for order in orders])
    expected = [(ranks <= k).mean() for k in range(1, 6)]
    np.testing.assert_allclose(chance_rank_distribution(np.array([num_right]), 5), expected)


def test_chance_averages_over_queries():
    both = chance_rank_distribution(np.array([1, 3]), 6)
    alone = [chance_rank_distribution(np.array([right]), 6) for right in (1, 3)]
    np.testing.assert_allclose(both, np.mean(alone, axis=0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.5])
def test_embeddings_that_are_not_finite_unit_vectors_are_refused_with_their_row(bad):
    queries = random_unit(4, 8, seed=0)
    queries[2] *= bad
    with pytest.raises(DataError, match=r"1 of 4 embeddings .* first row 2"):
        rank_right(queries, random_unit(4, 8, seed=1), torch.arange(4)[:, None].repeat(1, 2))


@pytest.mark.parametrize(("pairs", "message"), [([[0, 0]], "no right candidate"), ([[0, 0], [1, 9]], "outside 2")])
def test_queries_without_a_right_candidate_and_wild_pairs_are_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        rank_right(POOL[:2], POOL[:2], torch.tensor(pairs))


def test_nothing_to_rank_is_refused():
    with pytest.raises(DataError, match="N > 0"):
        rank_right(torch.zeros(0, 3), POOL, torch.zeros(0, 2, dtype=torch.int64))
