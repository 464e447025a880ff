"""Classification scores equal scikit-learn's; ties and absent classes follow the stated rules."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from raybind.errors import DataError
from raybind.evaluation.intervals import wilson
from raybind.evaluation.zero_shot import classify


def task(num_items: int, num_classes: int, noise: float, seed: int = 0):
    """Items scattered around the embeddings of their classes, which are of different sizes."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.nn.functional.normalize(torch.randn(num_classes, 16, generator=rng), dim=1)
    labels = torch.multinomial(torch.arange(1.0, num_classes + 1), num_items, True, generator=rng)
    items = classes[labels] + noise * torch.randn(num_items, 16, generator=rng)
    return torch.nn.functional.normalize(items, dim=1), classes, labels, [f"class {i}" for i in range(num_classes)]


@pytest.mark.parametrize("num_classes", [2, 6, 12])
def test_scores_equal_scikit_learn(num_classes):
    items, classes, labels, names = task(200, num_classes, noise=0.5)
    result = classify(items, classes, labels, names)
    similarity, every = (items.double() @ classes.double().T).numpy(), list(range(num_classes))
    predicted = similarity.argmax(axis=1)
    assert (result.predictions == predicted).all()
    assert result.top1.value == accuracy_score(labels, predicted)
    assert result.class_mean.value == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-15)
    assert (result.confusion == confusion_matrix(labels, predicted, labels=every)).all()
    if num_classes > 5:
        assert result.top5 is not None
        assert result.top5.value == top_k_accuracy_score(labels, similarity, k=5, labels=every)


def test_references_and_intervals():
    items, classes, labels, names = task(200, 8, noise=0.5)
    result = classify(items, classes, labels, names)
    sizes = np.sort(np.bincount(labels.numpy(), minlength=8))
    assert (result.num_items, result.num_classes) == (200, 8)
    assert (result.chance, result.majority_rate) == (1 / 8, sizes[-1] / 200)
    assert result.top5 is not None
    assert (result.top5.chance, result.top5.majority) == (5 / 8, sizes[-5:].sum() / 200)
    assert (result.top1.low, result.top1.high) == wilson(result.top1.value, 200)
    # Small classes make the class mean less certain than 200 items would.
    assert result.class_mean.high - result.class_mean.low > np.diff(wilson(result.class_mean.value, 200))


def test_the_right_class_loses_every_tie():
    _, classes, labels, names = task(60, 7, noise=0.0)
    result = classify(classes[:1].repeat(60, 1), classes[:1].repeat(7, 1), labels, names)
    assert result.top1.value == result.class_mean.value == 0
    assert result.top5 is not None
    assert result.top5.value == 0
    assert result.confusion.diagonal().sum() == 0
    assert result.confusion.sum() == 60


def test_top5_is_left_out_where_it_would_always_be_right():
    result = classify(*task(50, 5, noise=0.5))
    assert result.top5 is None
    assert set(result.scores()) == {"top1", "class_mean"}


def test_a_class_without_items_is_a_wrong_answer_but_no_part_of_the_mean():
    items, classes, labels, names = task(100, 6, noise=0.6)
    kept = labels != 5
    result = classify(items[kept], classes, labels[kept], names)
    assert np.isnan(result.per_class_accuracy[5])
    assert result.class_mean.value == np.nanmean(result.per_class_accuracy)
    assert (result.class_mean.chance, result.class_mean.majority) == (1 / 6, 1 / 5)


def test_sizes_names_and_labels_that_do_not_fit_are_refused():
    items, classes, labels, names = task(20, 6, noise=0.5)
    with pytest.raises(DataError, match="20 items but 19 labels"):
        classify(items, classes, labels[1:], names)
    with pytest.raises(DataError, match="6 class embeddings but 5 class names"):
        classify(items, classes, labels, names[1:])
    with pytest.raises(DataError, match="occur twice: kitchen"):
        classify(items, classes, labels, ["kitchen", "kitchen", *names[2:]])
    with pytest.raises(DataError, match="labels lie in"):
        classify(items, classes, labels + 3, names)
