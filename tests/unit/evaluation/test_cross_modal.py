"""Retrieval between two modalities of the same items."""

import pytest
import torch

from raybind.errors import DataError
from raybind.evaluation.cross_modal import retrieve_across
from raybind.evaluation.items import EmbeddedItems, Item


def embedded(ids: list[str], embeddings: torch.Tensor) -> EmbeddedItems:
    return EmbeddedItems(tuple(Item(one, (), {}) for one in ids), torch.nn.functional.normalize(embeddings, dim=1))


def test_items_are_matched_by_id_whatever_their_order() -> None:
    points = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    ids = [f"item-{number}" for number in range(30)]
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    other = embedded([ids[number] for number in order.tolist()], points[order])
    result = retrieve_across(embedded(ids, points), other)
    assert result.item_to_text.recall[1].value == 1
    assert result.text_to_item.recall[1].value == 1
    assert result.item_to_text.recall[10].chance == pytest.approx(10 / 30)


def test_direction_from_queries_to_gallery() -> None:
    """Two gallery items lie where the first query is: only the gallery's own direction has to choose between them."""
    queries = embedded(["a", "b", "c"], torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    gallery = embedded(["a", "b", "c"], torch.tensor([[1.0, 0, 0], [1, 0.1, 0], [0, 0, 1]]))
    result = retrieve_across(queries, gallery)
    assert result.item_to_text.ranking.ranks.tolist() == [1, 1, 1]
    assert result.text_to_item.ranking.ranks.tolist() == [1, 2, 1]


def test_an_item_of_one_side_only_is_named() -> None:
    one, other = embedded(["a", "b"], torch.eye(2)), embedded(["a", "c"], torch.eye(2))
    with pytest.raises(DataError, match="'b'"):
        retrieve_across(one, other)
