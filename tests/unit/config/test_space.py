"""A space becomes the trials that it says, the same ones every time."""

import math
from typing import Any

import pytest

from raybind.config.space import expand, flat_space, parse_axes

TEMPERATURE = [
    {"model.temperature.init": 0.07, "model.temperature.learnable": True},
    {"model.temperature.init": 0.1, "model.temperature.learnable": False},
]


def trials(space: dict[str, Any], num_samples: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Each trial as the keys it sets."""
    points = expand(parse_axes(space), num_samples, seed)
    return [{key: value for axis in point.values() for key, value in axis.items()} for point in points]


def test_a_grid_is_every_combination_in_order() -> None:
    assert trials({"model.lora.rank": [2, 4], "optimizer.lr": [0.1, 0.2]}) == [
        {"model.lora.rank": 2, "optimizer.lr": 0.1},
        {"model.lora.rank": 2, "optimizer.lr": 0.2},
        {"model.lora.rank": 4, "optimizer.lr": 0.1},
        {"model.lora.rank": 4, "optimizer.lr": 0.2},
    ]


def test_one_axis_may_set_several_keys_together() -> None:
    found = trials({"temperature": TEMPERATURE, "model.lora.rank": [2]})
    assert found == [{**point, "model.lora.rank": 2} for point in TEMPERATURE]


def test_nested_keys_are_dotted_keys_and_the_last_one_counts() -> None:
    space = {"model.lora.rank": [2], "optimizer": {"lr": {"uniform": [0.1, 0.2]}}, "model": {"lora": {"rank": [4]}}}
    assert flat_space(space) == {"model.lora.rank": [4], "optimizer.lr": {"uniform": [0.1, 0.2]}}


def test_a_random_search_of_lists_repeats_nothing_and_itself() -> None:
    space = {"model.lora.rank": [1, 2, 4, 8], "model.mask_ratio": [0.3, 0.5]}
    found = trials(space, num_samples=8)
    assert sorted(map(str, found)) == sorted(map(str, trials(space)))
    assert trials(space, num_samples=5, seed=3) == trials(space, num_samples=5, seed=3)
    assert trials(space, num_samples=5, seed=3) != trials(space, num_samples=5, seed=4)


def test_ranges_are_drawn_evenly_on_their_scale() -> None:
    found = trials({"optimizer.lr": {"loguniform": [1e-6, 1e-2]}, "model.mask_ratio": {"uniform": [0.2, 0.6]}}, 400)
    assert all(1e-6 <= trial["optimizer.lr"] <= 1e-2 and 0.2 <= trial["model.mask_ratio"] <= 0.6 for trial in found)
    assert sum(math.log10(trial["optimizer.lr"]) for trial in found) / 400 == pytest.approx(-4, abs=0.2)
    assert sum(trial["model.mask_ratio"] for trial in found) / 400 == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.lora.rank": 4}, r"space\.model\.lora\.rank=4: write a list"),
        ({"model.lora.rank": []}, "write a list"),
        ({"optimizer.lr": {"uniform": [0, 1], "loguniform": [1, 2]}}, "loguniform"),
        ({"optimizer.lr": {"loguniform": [0, 1]}}, r"optimizer\.lr\.loguniform=\[0, 1\].*above 0"),
        ({"optimizer.lr": {"uniform": [2, 1]}}, "low < high"),
        ({"t": [TEMPERATURE[0], {"model.temperature.init": 0.1}]}, r"space\.t: every point must set the same keys"),
        ({"t": TEMPERATURE, "model.temperature.init": [0.1]}, r"model\.temperature\.init: set by more than one axis"),
    ],
)
def test_what_is_no_axis_is_named(space: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_axes(space)


def test_impossible_searches_are_named() -> None:
    with pytest.raises(ValueError, match="a grid needs a list of values"):
        trials({"optimizer.lr": {"uniform": [0.1, 0.2]}})
    with pytest.raises(ValueError, match="num_samples=3 is more than the 2 points"):
        trials({"model.lora.rank": [2, 4]}, num_samples=3)
