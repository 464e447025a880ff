"""Images, infrared and depth: the same scene stored in any way gives the same input."""

import numpy as np
import pytest

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape
from tests.unit.modalities.samples import deep_image_bytes, image_bytes

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)
ALPHA = np.full_like(GREY, 128)
SAME = InputShape(16, 16)
UNNORMALISED = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def pixels(modality: str, media: bytes | np.ndarray, **config: object) -> np.ndarray:
    """(3, 16, 16) in [0, 1]."""
    module, settings = get_modality(modality), PreprocessConfig.model_validate(UNNORMALISED | config)
    return module.transform(media, SAME, settings)


@pytest.mark.parametrize("modality", ["image", "infrared"])
@pytest.mark.parametrize(
    "media",
    [
        *(image_bytes(GREY, "PNG", mode=mode) for mode in ("L", "LA", "RGB", "RGBA", "P")),
        image_bytes(GREY.astype(np.uint16) * 257),
        image_bytes(GREY, "JPEG", quality=100),
        deep_image_bytes(".png", np.dstack([GREY.astype(np.uint16) * 257] * 3)),
        GREY,
        GREY[..., None],
        np.dstack([GREY, ALPHA]),
        GREY.astype(np.uint16) * 257,
        GREY / 255,
    ],
)
def test_a_grey_scene_stored_in_any_mode(modality: str, media: bytes | np.ndarray) -> None:
    expected = np.broadcast_to(GREY / 255, (3, 16, 16))
    np.testing.assert_allclose(pixels(modality, media), expected, atol=1.5 / 255)


@pytest.mark.parametrize("modality", ["image", "infrared"])
@pytest.mark.parametrize(
    "media",
    [
        image_bytes(COLOURS),
        image_bytes(np.dstack([COLOURS, ALPHA])),
        deep_image_bytes(".png", COLOURS.astype(np.uint16) * 257),
        deep_image_bytes(".png", np.dstack([COLOURS, ALPHA]).astype(np.uint16) * 257),
        COLOURS,
        np.dstack([COLOURS, ALPHA]),
    ],
)
def test_a_scene_in_colour_keeps_its_channels(modality: str, media: bytes | np.ndarray) -> None:
    np.testing.assert_allclose(pixels(modality, media), COLOURS.transpose(2, 0, 1) / 255, atol=1 / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_infrared_of_16_bits_keeps_every_bit(suffix: str, channels: int) -> None:
    counts = np.arange(256, dtype=np.uint16).reshape(16, 16) + 20_000
    media = deep_image_bytes(suffix, counts if channels == 1 else np.dstack([counts, counts.T, counts]))
    scaled = pixels("infrared", media)
    np.testing.assert_allclose(scaled[0] * 65_535, counts, atol=0.01)
    ranged = pixels("infrared", media, infrared={"value_range": [20_000, 20_200]})
    np.testing.assert_allclose(ranged[0], np.clip((counts - 20_000.0) / 200, 0, 1), atol=1e-6)


def test_infrared_temperatures_need_a_range() -> None:
    celsius = np.linspace(-5, 40, 256, dtype=np.float32).reshape(16, 16)
    media = deep_image_bytes(".tif", celsius)
    with pytest.raises(DataError, match=r"from -5 to 40 have no full range.*preprocess.infrared.value_range"):
        pixels("infrared", media)
    scaled = pixels("infrared", media, infrared={"value_range": [-5, 40]})
    np.testing.assert_allclose(scaled[0], (celsius + 5) / 45, atol=1e-6)


def test_depth_cuts_what_is_far_and_holds_what_is_missing_near() -> None:
    millimetres = np.full((16, 16), 2_500, np.uint16)
    millimetres[0], millimetres[1], millimetres[2] = 0, 3, 65_535
    depth = pixels("depth", image_bytes(millimetres))
    np.testing.assert_allclose(depth[:, 0], 0.001, atol=1e-7, err_msg="missing")
    np.testing.assert_allclose(depth[:, 1], 0.001, atol=1e-7, err_msg="nearer than a centimetre")
    np.testing.assert_allclose(depth[:, 2], 1, atol=1e-7, err_msg="beyond ten metres")
    np.testing.assert_allclose(depth[:, 3:], 0.25, atol=1e-7)
    as_array = np.where(millimetres == 0, np.nan, millimetres)
    np.testing.assert_allclose(pixels("depth", as_array), depth, atol=1e-7, err_msg="missing as NaN")
    np.testing.assert_allclose(pixels("depth", image_bytes(millimetres), depth={"max_metres": 5.0})[:, 3:], 0.5)
    assert pixels("depth", np.zeros((16, 16)), depth={"max_metres": None}).max() == 1


def test_eight_bit_depth_is_refused() -> None:
    with pytest.raises(DataError, match=r"16-bit greyscale png in millimetres, this image has mode 'L'"):
        pixels("depth", image_bytes(GREY))


def test_the_centre_is_cut_from_a_short_edge_of_its_own() -> None:
    picture = np.zeros((80, 100), np.uint8)
    picture[32:48, 42:58] = 255
    assert pixels("image", picture, short_edge=80).min() == 1, "nothing resized, 16 of 80 x 100 pixels cut out"
    assert pixels("image", picture)[:, 0, 0].max() == 0, "resized to 16 x 20, all of the short edge seen"


def test_antialiasing_is_a_choice() -> None:
    stripes = np.zeros((160, 160), np.uint8)
    stripes[:, ::10] = 255
    ours, official = pixels("image", stripes), pixels("image", stripes, antialias=False)
    assert ours.mean() == pytest.approx(0.1, abs=0.01), "a tenth of the picture is white"
    assert official.mean() < 0.05, "stripes between the sampled points are not seen"


@pytest.mark.parametrize(
    ("picture", "cause"),
    [
        (np.zeros((16, 16, 5), np.uint8), "number of channels"),
        (np.zeros((0, 16), np.uint8), "number of channels"),
        (np.zeros((16, 16), np.int64), "pixel type"),
        (np.full((16, 16), 2.0), "pixel type"),
        (np.zeros((2, 1_000), np.uint8), "aspect ratio"),
    ],
)
def test_arrays_that_are_no_pictures(picture: np.ndarray, cause: str) -> None:
    with pytest.raises(DataError) as caught:
        pixels("image", picture)
    assert caught.value.cause == cause


def test_too_many_pixels_for_the_limit() -> None:
    with pytest.raises(DataError, match=r"16 x 16 pixels is more than preprocess.max_pixels=255"):
        pixels("image", image_bytes(GREY), max_pixels=255)
