"""Retrieval as published evaluations count equals plain loops and scikit-learn, with and without ties."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score
from torch import Tensor

from raybind.errors import DataError
from raybind.evaluation import metrics
from raybind.evaluation.metrics import rank_right
from raybind.evaluation.retrieval import DirectionResult, RetrievalResult, gather_captions, retrieve
from raybind.evaluation.retrieval import retrieve_as_published as as_published

# All similarities among these are quarters, which floating point holds exactly: equal is equal, without any slack.
EXACT = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 4)

ROUNDING = 1e-12
"""What rounding in float64 may move a similarity by, and more."""

CAPTIONS = {"one each": [1] * 30, "five each": [5] * 20, "41 and 1": [41, 1], "uneven": [41, 1, *[3, 2] * 12]}


def unit(rows: int, dim: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def rounded(rows: int, dim: int, seed: int) -> Tensor:
    """Unit vectors of few directions, in single precision not quite of the same length."""
    vectors = torch.randint(-1, 2, (rows, dim), generator=torch.Generator().manual_seed(seed)).float()
    vectors[:, 0] += (vectors == 0).all(dim=1)
    return torch.nn.functional.normalize(vectors, dim=1)


def owners(counts: list[int]) -> Tensor:
    """The item of every text, in no order."""
    of_text = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return of_text[torch.randperm(len(of_text), generator=torch.Generator().manual_seed(7))]


def by_loops(
    items: Tensor, texts: Tensor, item_of_text: list[int], slack: float = ROUNDING
) -> tuple[list[int], list[int]]:
    """Ranks of every text's item and of every item's texts."""
    everyone = range(len(items))
    of_items, of_texts = items.double().numpy(), texts.double().numpy()
    similarity = [[float(np.dot(text, item)) for item in of_items] for text in of_texts]
    text_ranks = []
    for text, own in enumerate(item_of_text):
        rank = 1
        for other in everyone:
            if other != own and similarity[text][other] >= similarity[text][own] - slack:
                rank += 1
        text_ranks.append(rank)
    item_ranks = []
    for item in everyone:
        most = [-np.inf for _ in everyone]
        for text, own in enumerate(item_of_text):
            most[own] = max(most[own], similarity[text][item])
        item_ranks.append(1 + sum(most[other] >= most[item] - slack for other in everyone if other != item))
    return text_ranks, item_ranks


def values(direction: DirectionResult) -> dict[str, float]:
    return {name: score.value for name, score in direction.scores().items()}


def scores_of(ranks: list[int], num_candidates: int) -> dict[str, float]:
    recall = {k: sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10) if k < num_candidates}
    return {
        **{f"recall_at_{k}": value for k, value in recall.items()},
        "median_rank": statistics.median(ranks),
        "mean_rank": sum(ranks) / len(ranks),
    }


def check(result: RetrievalResult, ranks: tuple[list[int], list[int]], num_items: int) -> None:
    for direction, expected in zip((result.text_to_item, result.item_to_text), ranks, strict=True):
        assert direction.ranking.ranks.tolist() == expected
        assert values(direction) == scores_of(expected, num_items)
        assert direction.num_candidates == num_items


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Tensor, Tensor, list[int]]:
    """Items, texts and whose they are, of four vectors at most."""
    few = draw(st.lists(st.integers(0, len(EXACT) - 1), min_size=1, max_size=4))
    items = draw(st.lists(st.sampled_from(few), min_size=1, max_size=12))
    more = draw(st.lists(st.integers(0, len(items) - 1), max_size=15))
    item_of_text = draw(st.permutations([*range(len(items)), *more]))
    texts = [draw(st.sampled_from(few)) for _ in item_of_text]
    return EXACT[items], EXACT[texts], item_of_text


@settings(deadline=None)
@given(crowded())
def test_scores_equal_plain_loops_where_nearly_all_ties(task: tuple[Tensor, Tensor, list[int]]) -> None:
    items, texts, item_of_text = task
    expected = by_loops(items, texts, item_of_text, slack=0.0)
    check(as_published(items, texts, torch.tensor(item_of_text)), expected, len(items))


@pytest.mark.parametrize("counts", CAPTIONS.values(), ids=CAPTIONS)
@pytest.mark.parametrize(("embed", "dim"), [(unit, 16), (unit, 2), (rounded, 2), (rounded, 3), (rounded, 6)])
def test_scores_equal_plain_loops(embed, dim: int, counts: list[int]) -> None:
    item_of_text = owners(counts)
    items, texts = embed(len(counts), dim, seed=0), embed(sum(counts), dim, seed=1)
    ranks = by_loops(items, texts, item_of_text.tolist())
    check(as_published(items, texts, item_of_text), ranks, len(counts))
    if embed is rounded and len(counts) > 2:
        assert ranks != by_loops(items, texts, item_of_text.tolist(), slack=-ROUNDING), "nothing was tied"


@given(st.data())
def test_groups_rank_by_their_most_similar_member_with_several_right(data: st.DataObject) -> None:
    number = st.integers(0, len(EXACT) - 1)
    queries, gallery = (data.draw(st.lists(number, min_size=1, max_size=size)) for size in (6, 14))
    num_groups = data.draw(st.integers(1, len(gallery)))
    more = data.draw(st.lists(st.integers(0, num_groups - 1), min_size=len(gallery), max_size=len(gallery)))
    groups = data.draw(st.permutations([*range(num_groups), *more[num_groups:]]))
    right = [data.draw(st.sets(st.integers(0, num_groups - 1), min_size=1)) for _ in queries]
    pairs = [(query, group) for query, found in enumerate(right) for group in found]
    ranking = rank_right(EXACT[queries], EXACT[gallery], torch.tensor(pairs), torch.tensor(groups))
    for query, (rank, best) in enumerate(zip(ranking.ranks, ranking.best, strict=True)):
        similarity = [-1.0] * num_groups
        for member, group in zip(gallery, groups, strict=True):
            similarity[group] = max(similarity[group], float(EXACT[queries[query]] @ EXACT[member]))
        wanted = max(similarity[group] for group in right[query])
        assert rank == 1 + sum(s >= wanted for group, s in enumerate(similarity) if group not in right[query])
        assert similarity[best] == max(similarity)
        assert (best in right[query]) == (rank == 1)


def test_groups_of_one_are_candidates_as_they_stand() -> None:
    queries, gallery = unit(20, 8, seed=0), unit(30, 8, seed=1)
    pairs = torch.stack([torch.arange(20), torch.arange(20) + 3], dim=1)
    plain, grouped = rank_right(queries, gallery, pairs), rank_right(queries, gallery, pairs, torch.arange(30))
    assert (plain.ranks == grouped.ranks).all()
    assert (plain.best == grouped.best).all()


def test_groups_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    item_of_text = owners(CAPTIONS["uneven"])
    items, texts = rounded(26, 4, seed=0), rounded(len(item_of_text), 4, seed=1)
    whole = as_published(items, texts, item_of_text)
    monkeypatch.setattr(metrics, "_CHUNK_ELEMENTS", 7 * len(texts))
    parts = as_published(items, texts, item_of_text)
    for before, after in ((whole.text_to_item, parts.text_to_item), (whole.item_to_text, parts.item_to_text)):
        assert (before.ranking.ranks == after.ranking.ranks).all()
        assert before.scores() == after.scores()


@pytest.mark.parametrize("seed", range(3))
def test_recall_with_one_caption_each_is_scikit_learns(seed: int) -> None:
    texts = unit(80, 12, seed=seed)
    items = torch.nn.functional.normalize(texts + 1.5 * unit(80, 12, seed=seed + 10), dim=1)
    result = as_published(items, texts, torch.arange(80))
    similarity = (texts.double() @ items.double().T).numpy()
    for direction, asked in ((result.text_to_item, similarity), (result.item_to_text, similarity.T)):
        for k in (1, 5, 10):
            assert direction.recall[k].value == top_k_accuracy_score(np.arange(80), asked, k=k)
        assert 0.1 < direction.recall[1].value < 0.9


def test_an_encoder_that_maps_everything_to_one_point_finds_nothing() -> None:
    """Where all is tied scikit-learn goes by the order of the columns, so that some query is always right; here the
    right answer loses each tie, whatever the order."""
    point, item_of_text = unit(1, 768, seed=0), owners([3] * 40)
    result = as_published(point.repeat(40, 1), point.repeat(120, 1), item_of_text)
    for direction in (result.text_to_item, result.item_to_text):
        assert [direction.recall[k].value for k in (1, 5, 10)] == [0, 0, 0]
        assert (direction.ranking.ranks == 40).all()
    assert top_k_accuracy_score(np.arange(40), np.ones((40, 40)), k=1) == 1 / 40


@pytest.mark.parametrize("embed", [unit, rounded])
def test_the_order_of_items_and_texts_does_not_matter(embed) -> None:
    counts = CAPTIONS["uneven"]
    item_of_text = owners(counts)
    items, texts = embed(len(counts), 5, seed=0), embed(sum(counts), 5, seed=1)
    before = as_published(items, texts, item_of_text)
    generator = torch.Generator().manual_seed(2)
    of_items, of_texts = (
        torch.randperm(len(items), generator=generator),
        torch.randperm(len(texts), generator=generator),
    )
    after = as_published(items[of_items], texts[of_texts], of_items.argsort()[item_of_text[of_texts]])
    assert (after.text_to_item.ranking.ranks == before.text_to_item.ranking.ranks[of_texts]).all()
    assert (after.item_to_text.ranking.ranks == before.item_to_text.ranking.ranks[of_items]).all()
    assert values(after.text_to_item) == values(before.text_to_item)
    assert values(after.item_to_text) == values(before.item_to_text)


def test_where_every_item_has_one_text_of_its_own_both_ways_of_counting_agree() -> None:
    items, texts = rounded(50, 4, seed=0), rounded(50, 4, seed=1)
    published = as_published(items, texts, torch.arange(50))
    ours = retrieve(items, texts, gather_captions([[f"text {number}"] for number in range(50)]).pairs)
    assert published.text_to_item.scores() == ours.text_to_item.scores()
    assert published.item_to_text.scores() == ours.item_to_text.scores()


def test_the_same_words_for_two_items_are_two_queries_and_each_has_one_right_answer() -> None:
    items, ball, box = torch.eye(3), torch.eye(3)[0], torch.eye(3)[1]
    published = as_published(items, torch.stack([ball, box, ball]), torch.arange(3))
    assert published.text_to_item.ranking.ranks.tolist() == [1, 1, 3]
    ours = retrieve(items, torch.stack([ball, box]), gather_captions([["a ball"], ["a box"], ["a ball"]]).pairs)
    assert ours.text_to_item.ranking.ranks.tolist() == [1, 1]


def test_an_item_stands_for_its_best_text_and_its_others_cost_nothing() -> None:
    items = torch.eye(3)
    texts = torch.stack([items[2], items[0], items[2], items[1], items[2]])
    result = as_published(items, texts, torch.tensor([0, 0, 1, 1, 2]))
    # The first two items have a text like the third, which therefore stands level with them.
    assert result.item_to_text.ranking.ranks.tolist() == [1, 1, 3]


@pytest.mark.parametrize(
    ("item_of_text", "message"),
    [
        ([0, 1, 4], "outside"),
        ([0, 1, -1], "outside"),
        ([0, 1, 1], "outside"),
        ([0, 2, 2], "no member"),
        ([1, 1, 2], "no member"),
    ],
)
def test_texts_and_items_without_their_counterpart_are_refused(item_of_text: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_published(torch.eye(3), torch.eye(3), torch.tensor(item_of_text))
