"""What holds for every modality: one transform, from bytes or arrays, the same every time unless a generator draws."""

import numpy as np
import pytest
import torch

from raybind.config.base import validate
from raybind.config.data import PreprocessConfig
from raybind.errors import ConfigError
from raybind.modalities import get_modality, modality_names
from tests.unit.modalities.samples import good_media


def test_the_five_of_the_paper() -> None:
    assert modality_names() == ("audio", "depth", "image", "infrared", "video")
    with pytest.raises(ConfigError, match=r"'touch' is not a modality; it is one of audio, depth"):
        get_modality("touch")


@pytest.mark.parametrize("name", modality_names())
def test_every_stored_type_becomes_the_encoders_input(name: str) -> None:
    config, modality = PreprocessConfig(), get_modality(name)
    shape = modality.input_shape(56, config)
    for media in good_media(name, seed=0):
        pixel_values = modality.transform(media, shape, config)
        assert (pixel_values.shape, pixel_values.dtype) == (shape.array, np.float32)
        assert pixel_values.flags.c_contiguous
        np.testing.assert_array_equal(
            pixel_values, modality.transform(media, shape, config), "evaluation draws nothing"
        )
        np.testing.assert_array_equal(pixel_values, modality.transform(modality.decode(media, config), shape, config))


@pytest.mark.parametrize("name", modality_names())
def test_readers_send_what_normalises_to_the_encoders_input(name: str) -> None:
    """Of a batch as of one sample, to the last bit, in no more channels than declared."""
    config, modality = PreprocessConfig(), get_modality(name)
    shape = modality.input_shape(56, config)
    media = [*good_media(name, seed=0), *good_media(name, seed=1)]
    prepared = [modality.decode_and_prepare(each, shape, config) for each in media]
    assert {each.shape[0] for each in prepared} <= {1, modality.prepared_channels}
    batch = np.stack([np.broadcast_to(each, (modality.prepared_channels, *shape.array[1:])) for each in prepared])
    pixel_values = modality.normalise(torch.from_numpy(batch), config).numpy()
    np.testing.assert_array_equal(pixel_values, [modality.transform(each, shape, config) for each in media])


@pytest.mark.parametrize("name", ["image", "infrared", "depth"])
def test_pictures_draw_nothing_in_training(name: str) -> None:
    config, modality = PreprocessConfig(), get_modality(name)
    generator = np.random.default_rng(0)
    for media in good_media(name, seed=0):
        modality.transform(media, modality.input_shape(56, config), config, generator)
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_input_shapes() -> None:
    config = PreprocessConfig.model_validate(
        {"video": {"num_frames": 12}, "audio": {"num_mel_bins": 126, "target_length": 196}}
    )
    assert get_modality("image").input_shape(224, config).array == (3, 224, 224)
    assert get_modality("video").input_shape(224, config).array == (3, 12, 224, 224)
    assert get_modality("audio").input_shape(224, config).array == (3, 126, 196)


def test_a_picture_cannot_be_resized_to_less_than_is_cropped() -> None:
    with pytest.raises(ConfigError, match=r"short_edge=200 is less than the 224 pixels"):
        get_modality("depth").input_shape(224, PreprocessConfig(short_edge=200))


def test_parameters_survive_the_checkpoint() -> None:
    config = PreprocessConfig.model_validate(
        {
            "antialias": False,
            "infrared": {"value_range": [0, 16_383]},
            "depth": {"max_metres": None},
            "audio": {"short": "repeat_and_pad"},
        }
    )
    assert PreprocessConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("infrared", {"value_range": [5, 5]}, "the first must be less"),
        ("audio", {"sample_rate_hz": 16_001}, "multiple of 25"),
        ("video", {"num_frames": 0}, "greater than or equal to 1"),
        ("depth", {"max_depth_metres": 10}, "unknown key; did you mean 'max_metres'"),
    ],
)
def test_wrong_parameters_are_named(section: str, values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(PreprocessConfig, {section: values})
