"""Pictures are drawn for any number of classes, items or not."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from raybind.evaluation.pictures import confusion_png, similarity_png
from raybind.evaluation.zero_shot import classify


@pytest.mark.parametrize("num_classes", [2, 16, 40, 61])
def test_pictures_are_png_of_a_readable_size(num_classes):
    rng = torch.Generator().manual_seed(0)
    classes = torch.nn.functional.normalize(torch.randn(num_classes, 16, generator=rng), dim=1)
    labels = torch.arange(3 * num_classes) % (num_classes - 1)  # the last class has no items
    names = [f"living room {i}" for i in range(num_classes)]
    result = classify(classes[labels], classes, labels, names)
    for png in (
        confusion_png(result, "Zero-shot classification of depth, val split"),
        similarity_png(classes[labels], classes, labels, names, "Depth, val split"),
    ):
        picture = Image.open(io.BytesIO(png))
        assert picture.format == "PNG"
        assert 400 < min(picture.size) <= max(picture.size) < 2000
        assert np.asarray(picture.convert("L")).std() > 10
