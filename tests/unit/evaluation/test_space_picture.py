"""The picture of the shared space, and what is shown of single items."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from raybind.config.data import PreprocessConfig
from raybind.evaluation.space_picture import _principal, space_png
from raybind.evaluation.thumbnails import thumbnail
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape


def points(seed: int, number: int = 30, dim: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(number, dim, generator=generator), dim=1)


def test_first_axis_holds_most_of_the_variance_whatever_the_order() -> None:
    clusters = torch.cat([points(0) * 0.05 + torch.eye(8)[0], points(1) * 0.05 - torch.eye(8)[0]]).double()
    places, shares = _principal(clusters)
    assert shares[0] > 0.9
    assert (places[:30, 0] > 0).all()
    assert (places[30:, 0] < 0).all()
    turned, _ = _principal(clusters.flip(0))
    assert turned[::-1] == pytest.approx(places, abs=1e-9)


@pytest.mark.parametrize("number", [1, 2, 600])
def test_any_number_of_points_is_drawn_the_same_way_each_time(number: int) -> None:
    embeddings = {"depth": points(0, number), "text": points(1, 3)}
    png = space_png(embeddings, "title", ("one", "two", "three"))
    assert png == space_png(embeddings, "title", ("one", "two", "three"))
    assert min(Image.open(io.BytesIO(png)).size) > 500


def test_thumbnail_of_a_picture_is_the_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    config = PreprocessConfig()
    seen = get_modality("image").transform(pixels, InputShape(56, 56), config)
    assert np.abs(thumbnail(seen, "image", config).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(
    ("modality", "shape"), [("depth", (3, 28, 28)), ("audio", (3, 28, 70)), ("video", (3, 4, 28, 28))]
)
def test_every_modality_has_a_thumbnail(modality: str, shape: tuple[int, ...]) -> None:
    seen = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    picture = thumbnail(seen, modality, PreprocessConfig())
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
