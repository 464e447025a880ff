"""The epoch order: a permutation, the same for everybody, another each epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from raybind.data.order import Batching, Cursor, epoch_order, sample_generator

shard_sizes = st.lists(st.integers(0, 40), min_size=1, max_size=12).map(tuple)


@given(shard_sizes, st.integers(0, 5), st.integers(1, 5))
def test_every_sample_once(sizes: tuple[int, ...], epoch: int, window: int) -> None:
    np.testing.assert_array_equal(np.sort(epoch_order(sizes, 7, epoch, window)), np.arange(sum(sizes)))


def test_order_follows_seed_and_epoch() -> None:
    orders = [epoch_order((50, 50), seed, epoch, 2) for seed in (0, 1) for epoch in (0, 1)]
    assert len({order.tobytes() for order in orders}) == 4
    epoch_order.cache_clear()
    np.testing.assert_array_equal(epoch_order((50, 50), 0, 0, 2), orders[0])


def test_samples_of_a_window_come_together_and_mix() -> None:
    order = epoch_order((100,) * 8, 0, 0, 2)
    shards = order // 100
    windows = [set(shards[start : start + 200].tolist()) for start in range(0, 800, 200)]
    assert [len(window) for window in windows] == [2, 2, 2, 2]
    assert set.union(*windows) == set(range(8))
    halves = np.abs(np.diff([np.mean(shards[:100] == shard) for shard in sorted(windows[0])]))
    assert halves < 0.4, "the first half of a window holds both of its shards"


def test_over_epochs_every_place_is_equally_likely() -> None:
    sizes, num_epochs = (4, 4, 4), 6000
    places = np.stack([np.argsort(epoch_order(sizes, 3, epoch, 2)) for epoch in range(num_epochs)])
    for sample in range(sum(sizes)):
        counts = np.bincount(places[:, sample], minlength=12)
        assert chisquare(counts).pvalue > 1e-4, sample


def test_neighbours_share_a_shard_as_often_as_stated() -> None:
    size, window, num_shards = 50, 4, 40
    shards = np.concatenate([epoch_order((size,) * num_shards, 0, epoch, window) // size for epoch in range(20)])
    same = (shards[1:] == shards[:-1]).mean()
    assert same == pytest.approx((size - 1) / (window * size - 1), rel=0.05)


@given(st.integers(1, 500), st.integers(1, 64), st.integers(0, 100))
def test_cursor_and_step_are_inverse(num_samples: int, batch: int, step: int) -> None:
    batching = Batching(num_samples + batch, batch)
    cursor = batching.cursor_at(step)
    assert batching.step_at(cursor) == step
    assert cursor.position + batch <= batching.num_samples, "the batch that follows is whole"


def test_cursor_of_a_fresh_run() -> None:
    assert Batching(100, 10).cursor_at(0) == Cursor(0, 0)
    assert Batching(105, 10).cursor_at(10) == Cursor(1, 0)


@pytest.mark.parametrize("change", [(1, 0, 0, "mask"), (0, 1, 0, "mask"), (0, 0, 1, "mask"), (0, 0, 0, "view")])
def test_draws_of_a_sample_depend_on_all_that_names_it(change: tuple[int, int, int, str]) -> None:
    base = sample_generator(0, 0, 0, "mask").random(4)
    np.testing.assert_array_equal(base, sample_generator(0, 0, 0, "mask").random(4))
    assert not np.array_equal(base, sample_generator(*change).random(4))
