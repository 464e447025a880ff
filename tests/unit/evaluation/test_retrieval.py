"""Retrieval scores equal a brute-force definition, with shared and with several captions."""

import numpy as np
import pytest
import torch

from raybind.errors import DataError
from raybind.evaluation.intervals import wilson
from raybind.evaluation.retrieval import gather_captions, retrieve


def random_unit(rows: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def brute_force_ranks(queries: torch.Tensor, gallery: torch.Tensor, right: list[set[int]]) -> np.ndarray:
    ranks = []
    for query, candidates in zip(queries.double(), right, strict=True):
        similarity = (gallery.double() @ query).tolist()
        best = max(similarity[g] for g in candidates)
        ranks.append(1 + sum(s >= best for g, s in enumerate(similarity) if g not in candidates))
    return np.array(ranks)


def test_scores_equal_brute_force_with_several_and_shared_captions():
    # Two captions an item; the first is shared by every 12th item, the second is the item's own.
    captions = [[f"a thing of kind {i % 12}", f"thing number {i}"] for i in range(60)]
    gathered = gather_captions(captions)
    items, texts = random_unit(60, seed=0), random_unit(len(gathered.texts), seed=1)
    result = retrieve(items, texts, gathered.pairs)
    carriers = [{i for i in range(60) if text in captions[i]} for text in gathered.texts]
    carried = [{gathered.texts.index(text) for text in captions[i]} for i in range(60)]
    for outcome, ranks in (
        (result.text_to_item, brute_force_ranks(texts, items, carriers)),
        (result.item_to_text, brute_force_ranks(items, texts, carried)),
    ):
        assert (outcome.ranking.ranks == ranks).all()
        assert {k: score.value for k, score in outcome.recall.items()} == {k: (ranks <= k).mean() for k in (1, 5, 10)}
        assert (outcome.median_rank.value, outcome.mean_rank.value) == (np.median(ranks), ranks.mean())
        assert outcome.mean_rank.low < outcome.mean_rank.value < outcome.mean_rank.high
    assert result.text_to_item.num_queries == result.item_to_text.num_candidates == 72


def test_texts_that_read_the_same_are_one_query_with_every_carrier_right():
    gathered = gather_captions([["A red ball"], ["a  red ball "], ["a blue ball"], ["a red ball", "a blue ball"]])
    assert gathered.texts == ("A red ball", "a blue ball")
    assert sorted(map(tuple, gathered.pairs.tolist())) == [(0, 0), (0, 1), (0, 3), (1, 2), (1, 3)]


def test_an_item_with_a_shared_caption_is_not_punished_for_its_twins():
    items, texts = torch.eye(3), torch.eye(3)[:2]
    pairs = gather_captions([["a ball"], ["a box"], ["a ball"]]).pairs
    result = retrieve(items, texts, pairs)
    # The third item is nowhere near its text, but the first one answers the query rightly.
    assert result.text_to_item.ranking.ranks.tolist() == [1, 1]
    # From the third item both texts look the same: the tie goes to the wrong one.
    assert result.item_to_text.ranking.ranks.tolist() == [1, 1, 2]


def test_chance_of_one_right_answer_among_many():
    pairs = torch.arange(40)[:, None].repeat(1, 2)
    scores = retrieve(random_unit(40, seed=0), random_unit(40, seed=1), pairs).text_to_item.scores()
    chance = {name: score.chance for name, score in scores.items()}
    expected = {
        "recall_at_1": 1 / 40,
        "recall_at_5": 1 / 8,
        "recall_at_10": 1 / 4,
        "median_rank": 20.5,
        "mean_rank": 20.5,
    }
    assert chance == pytest.approx(expected)


def test_chance_knows_how_many_answers_are_right():
    # 10 texts with 6 carriers each and 60 texts with one; every item has two texts.
    gathered = gather_captions([[f"kind {i % 10}", f"number {i}"] for i in range(60)])
    result = retrieve(random_unit(60, seed=0), random_unit(70, seed=1), gathered.pairs)
    assert result.text_to_item.recall[1].chance == pytest.approx((10 * 6 / 60 + 60 * 1 / 60) / 70)
    assert result.text_to_item.mean_rank.chance == pytest.approx((10 * 61 / 7 + 60 * 61 / 2) / 70)
    assert result.item_to_text.recall[1].chance == pytest.approx(2 / 70)
    assert result.item_to_text.mean_rank.chance == pytest.approx(71 / 3)


def test_captions_of_one_item_count_as_one_trial():
    gathered = gather_captions([[f"view {view} of {i}" for view in range(5)] for i in range(20)])
    result = retrieve(random_unit(20, seed=0), random_unit(100, seed=1), gathered.pairs)
    score = result.text_to_item.recall[5]
    assert (score.low, score.high) == wilson(score.value, 20)


def test_recall_among_too_few_candidates_is_left_out():
    pairs = torch.arange(5)[:, None].repeat(1, 2)
    assert set(retrieve(random_unit(5, seed=0), random_unit(5, seed=1), pairs).text_to_item.recall) == {1}


def test_an_item_without_a_caption_is_refused():
    with pytest.raises(DataError, match="item 1 of 2 has no caption"):
        gather_captions([["a ball"], []])


def test_embeddings_that_do_not_belong_to_the_captions_are_refused():
    gathered = gather_captions([["a ball", "a box"], ["a cone"]])
    with pytest.raises(DataError, match="outside 2 queries x 2 candidates"):
        retrieve(random_unit(2, seed=0), random_unit(2, seed=1), gathered.pairs)
    with pytest.raises(DataError, match="expected embeddings"):
        retrieve(torch.zeros(0, 16), torch.zeros(0, 16), gather_captions([]).pairs)
