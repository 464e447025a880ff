"""Mean average precision beside scikit-learn's and the definition written out."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from raybind.errors import DataError
from raybind.evaluation.multi_label import average_precision, classify_multi_label

NAMES = ("rain", "wind", "dog", "speech", "engine")


def unit(*shape: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def by_definition(similarity: np.ndarray, carried: np.ndarray) -> float:
    """Sum over thresholds of the gain in recall times the precision."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(similarity.tolist()), reverse=True):
        passed = similarity >= threshold
        recall = (passed & carried).sum() / carried.sum()
        total += (recall - recall_before) * (passed & carried).sum() / passed.sum()
        recall_before = recall
    return total


@pytest.mark.parametrize("levels", [3, 10, 10_000])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_scikit_learns_also_where_many_are_tied(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, carried = rng.integers(levels, size=200) / levels, rng.random(200) < 0.2
    found = average_precision(similarity, carried)
    assert found == pytest.approx(average_precision_score(carried, similarity), abs=1e-14)
    assert found == pytest.approx(by_definition(similarity, carried), abs=1e-14)


def test_the_mean_leaves_out_classes_that_no_item_carries() -> None:
    items, classes = unit(60, 8), unit(5, 8, seed=1)
    carried = np.random.default_rng(0).random((60, 5)) < 0.3
    carried[:, 2] = False
    result = classify_multi_label(items, classes, carried, NAMES)
    similarity = (items.double() @ classes.double().T).numpy()
    present = [0, 1, 3, 4]
    expected = [average_precision_score(carried[:, place], similarity[:, place]) for place in present]
    assert result.average_precision[present] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(result.average_precision[2])
    score = result.mean_average_precision
    assert score.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert score.low < score.value < score.high
    assert score.chance == pytest.approx(carried[:, present].mean())


def test_an_encoder_that_maps_everything_to_one_point_scores_chance() -> None:
    carried = np.random.default_rng(0).random((40, 5)) < 0.4
    score = classify_multi_label(unit(1, 8).expand(40, 8), unit(5, 8), carried, NAMES).mean_average_precision
    assert score.value == pytest.approx(score.chance)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Of 100 samples of a population of 20,000 items, 95 intervals are to hold its value; 88 or more are accepted."""
    rng = np.random.default_rng(0)
    classes = unit(5, 16)
    carried = rng.random((20_000, 5)) < 0.15
    items = torch.from_numpy(carried.astype(np.float32)) @ classes + 0.7 * unit(20_000, 16, seed=3) * 16**0.5 / 2
    items = torch.nn.functional.normalize(items, dim=-1)
    truth = classify_multi_label(items, classes, carried, NAMES).mean_average_precision.value
    held = 0
    for _ in range(100):
        drawn = rng.choice(20_000, 400, replace=False)
        score = classify_multi_label(items[drawn], classes, carried[drawn], NAMES).mean_average_precision
        held += score.low <= truth <= score.high
    assert held >= 88


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(DataError, match=r"4 items, 5 class embeddings and 5 class names .* shape \(4, 3\)"):
        classify_multi_label(unit(4, 8), unit(5, 8), np.ones((4, 3), bool), NAMES)
    with pytest.raises(DataError, match="none of the 5 classes"):
        classify_multi_label(unit(4, 8), unit(5, 8), np.zeros((4, 5), bool), NAMES)
