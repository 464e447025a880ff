"""Which queries a contact sheet shows, which hits, and that it can be drawn."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from raybind.evaluation.retrieval_sheet import SheetRow, Shown, choose_queries, first_hits, retrieval_sheet_png


@pytest.mark.parametrize(
    ("ranks", "number", "right"), [([1, 1, 1, 5, 9, 2], 4, 2), ([1, 1, 1, 1, 7], 4, 3), ([3, 4], 6, 0), ([1], 6, 1)]
)
def test_half_of_the_queries_are_right_where_there_are_as_many(ranks: list[int], number: int, right: int) -> None:
    chosen = choose_queries(np.array(ranks), number)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == min(number, len(ranks))
    assert sum(ranks[query] == 1 for query in chosen) == right
    assert chosen == choose_queries(np.array(ranks), number)


def test_first_hits_are_in_order_and_the_earlier_of_equals_first() -> None:
    gallery = torch.eye(3)[[0, 1, 1, 2]]
    order, similarity = first_hits(torch.eye(3)[[1]], gallery, 3)
    assert order.tolist() == [[1, 2, 0]]
    assert similarity.tolist() == [[1.0, 1.0, 0.0]]


def test_sheet_is_drawn_of_texts_and_pictures_and_of_few_hits() -> None:
    picture = Shown(
        "a caption that is much longer than what goes below a picture of this size", np.zeros((8, 8, 3), np.uint8)
    )
    text = Shown("costs $5, $\\nothing$ is a formula", None)
    rows = [SheetRow(text, ((picture, 0.5, True), (text, 0.4, False)), 1), SheetRow(picture, ((text, 0.1, False),), 7)]
    png = retrieval_sheet_png(rows, "title", "text", "depth")
    assert png == retrieval_sheet_png(rows, "title", "text", "depth")
    width, height = Image.open(io.BytesIO(png)).size
    assert 400 < width < 2000
    assert 400 < height < 2000
