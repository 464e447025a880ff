"""Which rank is taken for hung."""

from types import SimpleNamespace
from typing import Any, cast

from raybind.integrations.run_watch import STARTING, Beat, Place, Standing, hung_ranks

NOW, HANG_SECONDS = 1000.0, 60.0


def standing(still: float, in_collective: bool, silent: float = 0.5, phase: str = "computing") -> Standing:
    beat = Beat(Place(7, phase), "model/lora.py:84", in_collective)
    return Standing(cast("Any", SimpleNamespace()), beat, since=NOW - still, heard=NOW - silent)


def test_nobody_hangs_while_all_move() -> None:
    ranks = {0: standing(59, in_collective=True), 1: standing(3, in_collective=False, silent=50)}
    assert hung_ranks(ranks, NOW, HANG_SECONDS) == {}


def test_the_rank_that_others_wait_for_hangs_though_it_came_to_its_place_later() -> None:
    ranks = {0: standing(61, in_collective=True), 1: standing(59.9, in_collective=False)}
    found = hung_ranks(ranks, NOW, HANG_SECONDS)
    assert found == {1: "still for 60 s, last seen computing in step 7 at model/lora.py:84"}


def test_a_silent_process_hangs_whatever_it_said_last() -> None:
    ranks = {0: standing(61, in_collective=True), 1: standing(60.5, in_collective=True, silent=60.5)}
    assert list(hung_ranks(ranks, NOW, HANG_SECONDS)) == [1]


def test_where_all_wait_for_each_other_all_hang() -> None:
    ranks = {rank: standing(61, in_collective=True) for rank in range(2)}
    assert list(hung_ranks(ranks, NOW, HANG_SECONDS)) == [0, 1]


def test_a_start_may_take_longer_since_it_compiles() -> None:
    ranks = {0: standing(61, in_collective=True, phase=STARTING), 1: standing(599, in_collective=False, phase=STARTING)}
    assert hung_ranks(ranks, NOW, HANG_SECONDS) == {}
    ranks[1] = standing(601, in_collective=False, phase=STARTING)
    assert list(hung_ranks(ranks, NOW, HANG_SECONDS)) == [1]
