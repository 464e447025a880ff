"""Intervals equal scipy's and a naive bootstrap, and hold the truth as often as they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from raybind.evaluation import intervals
from raybind.evaluation.intervals import bootstrap_ranks, effective_count, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy_and_holds_the_estimate(trial):
    hits, count = trial
    low, high = wilson(hits / count, count)
    expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= hits / count <= high <= 1


@given(st.integers(1, 30), st.integers(1, 30))
def test_effective_count_of_balanced_classes_is_the_number_of_items(num_classes, items):
    assert effective_count(np.full(num_classes, items)) == pytest.approx(num_classes * items)


@pytest.mark.parametrize(
    "counts", [[31, 20, 15, 12, 8, 6, 5, 4, 3, 2, 1, 1, 1, 1], [31, 20, 18, 13, 11, 7, 5, 5], [20] * 16, [1] * 40]
)
@pytest.mark.parametrize("mean_accuracy", [0.1, 0.45, 0.95])
def test_class_mean_interval_holds_the_truth_in_nine_of_ten_experiments_or_more(counts, mean_accuracy):
    rng, trials = np.random.default_rng(0), 1000
    counts = np.array(counts)
    rates = rng.beta(6 * mean_accuracy, 6 * (1 - mean_accuracy), size=(trials, len(counts)))
    observed = (rng.binomial(counts, rates) / counts).mean(axis=1)
    ends = np.array([wilson(value, effective_count(counts)) for value in observed])
    truth = rates.mean(axis=1)
    assert ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() > 0.92


def test_bootstrap_equals_a_naive_one_on_the_same_draws(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 50)
    ranks, clusters = np.array([3, 1, 9, 2, 2, 7]), np.array([4, 4, 0, 2, 2, 1])
    rng, names = np.random.default_rng(5), np.unique(clusters)
    medians, means = [], []
    for chosen in names[rng.integers(len(names), size=(50, len(names)))]:
        drawn = [rank for name in chosen for rank in ranks[clusters == name]]
        medians.append(np.median(drawn))
        means.append(np.mean(drawn))
    median, mean = bootstrap_ranks(ranks, clusters, seed=5)
    assert median == pytest.approx(np.quantile(medians, [0.025, 0.975]))
    assert mean == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_bootstrap_of_a_mean_agrees_with_the_normal_approximation():
    ranks = np.random.default_rng(0).geometric(0.1, size=400)
    half_width = 1.96 * ranks.std() / 20
    _, mean = bootstrap_ranks(ranks, np.arange(400))
    assert mean == pytest.approx((ranks.mean() - half_width, ranks.mean() + half_width), rel=0.02)


def test_repeating_every_query_within_its_cluster_does_not_narrow_the_interval():
    ranks = np.random.default_rng(0).integers(1, 100, size=60)
    once = bootstrap_ranks(ranks, np.arange(60))
    repeated = bootstrap_ranks(np.repeat(ranks, 5), np.repeat(np.arange(60), 5))
    np.testing.assert_allclose(repeated, once)
