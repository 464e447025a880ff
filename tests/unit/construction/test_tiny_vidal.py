"""TinyVIDAL: the hold-out and the balance that make its test fair, and samples that are what the format says."""

import io
from collections import Counter
from functools import cache
from itertools import combinations

import av
import cv2
import numpy as np
import pytest
import soundfile
from sklearn.metrics import mutual_info_score

from raybind.config.base import validate
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import Composition, classes, composition, generate, num_samples, render_sample
from raybind.construction.tiny_vidal.captions import write_texts
from raybind.construction.tiny_vidal.contact_sheet import contact_sheet
from raybind.construction.tiny_vidal.render import paint
from raybind.construction.tiny_vidal.scene import draw_scene
from raybind.construction.tiny_vidal.sensors import measure_depth, measure_heat
from raybind.construction.tiny_vidal.view import look
from raybind.construction.tiny_vidal.world import ATTRIBUTES, CLASS_ATTRIBUTES, SPLITS, is_held_out
from raybind.data.sample import Sample
from raybind.errors import ConfigError

CONFIG = TinyVidalConfig()
MODALITIES = tuple(CLASS_ATTRIBUTES)
SHAPES = ATTRIBUTES["shape"]


@cache
def draw(split: str, count: int, seed: int = 0) -> tuple[Composition, ...]:
    return tuple(composition(seed, split, number) for number in range(count))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [render_sample(CONFIG, "test", number) for number in range(8)]


def decode(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def key(c: Composition, modality: str) -> tuple[str, ...]:
    """What the hold-out is about: the pair of the class, and the size where the shape is in it."""
    first, second = CLASS_ATTRIBUTES[modality]
    pair = (getattr(c, first), getattr(c, second))
    return pair if modality == "audio" else (*pair, c.size)


@pytest.mark.parametrize("modality", MODALITIES)
def test_compositions_of_the_test_are_in_no_training_or_validation_of_any_seed(modality: str) -> None:
    seen = {key(c, modality) for seed in (0, 1, 2) for split in ("train", "val") for c in draw(split, 1920, seed)}
    unseen = {key(c, modality) for seed in (0, 1, 2) for c in draw("test", 192, seed)}
    assert not seen & unseen
    assert len(unseen) == 16
    every_key = {key(c, modality) for c in every_composition(modality)}
    assert seen | unseen == every_key, "all others are trained on"


def every_composition(modality: str) -> list[Composition]:
    first, second = CLASS_ATTRIBUTES[modality]
    filler = {name: values[0] for name, values in ATTRIBUTES.items()}
    return [
        Composition(**filler | {first: one, second: two, "size": size})
        for one in ATTRIBUTES[first]
        for two in ATTRIBUTES[second]
        for size in ATTRIBUTES["size"]
    ]


@pytest.mark.parametrize("modality", MODALITIES)
def test_classes_are_named_as_they_are_labelled(modality: str) -> None:
    for split in SPLITS:
        assert {c.labels()[modality] for c in draw(split, 1920)} == set(classes(modality, split))
    assert len(classes(modality, "test")) == 16


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("count", [96, 192, 384, 100, 250])
def test_test_classes_are_balanced_at_any_number_of_samples(modality: str, count: int) -> None:
    counts = Counter(c.labels()[modality] for c in draw("test", count))
    per_class = [counts[name] for name in classes(modality, "test")]
    assert max(per_class) - min(per_class) <= (0 if count % 96 == 0 else 2)


@pytest.mark.parametrize("split", SPLITS)
def test_every_attribute_is_uniform(split: str) -> None:
    drawn = draw(split, 3072)
    for name, values in ATTRIBUTES.items():
        if (split, name) == ("test", "size"):
            continue  # a shape has one size in the test
        counts = Counter(getattr(c, name) for c in drawn)
        assert min(counts.values()) > 0.93 * 3072 / len(values), name


def test_attributes_say_little_about_each_other() -> None:
    drawn = draw("train", 7680)
    for first, second in combinations(ATTRIBUTES, 2):
        bits = mutual_info_score([getattr(c, first) for c in drawn], [getattr(c, second) for c in drawn]) / np.log(2)
        assert bits < (0.42 if {first, second} == {"motion", "sound"} else 0.1), (first, second)


def test_context_does_not_name_the_shape() -> None:
    """All that an image shows beside the shape, put together, says little about it."""
    drawn = draw("train", 7680)
    held_out = Counter(
        sum(is_held_out(m, SHAPES.index(c.shape), partner(c, m)) for m in ("image", "depth", "infrared", "video"))
        for c in drawn
    )
    assert held_out[0] < 0.5 * len(drawn), "shapes come with partners that are held out in another size"
    assert held_out[2] + held_out[3] + held_out[4] > 0.1 * len(drawn)


def partner(c: Composition, modality: str) -> int:
    second = CLASS_ATTRIBUTES[modality][1]
    return ATTRIBUTES[second].index(getattr(c, second))


def test_position_and_viewpoint_say_nothing_about_the_shape() -> None:
    rng = np.random.default_rng(0)
    drawn = draw("train", 960)
    scenes = [draw_scene(c, rng, 32, 1) for c in drawn]
    shape = [c.shape for c in drawn]
    nuisances = {
        "aside": [s.poses.centre[-1, 0] for s in scenes],
        "apparent size": [s.poses.radius[-1] / s.poses.centre[-1, 2] for s in scenes],
        "camera height": [s.origin[1] for s in scenes],
        "brightness": [s.brightness for s in scenes],
    }
    for name, values in nuisances.items():
        thirds = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
        assert mutual_info_score(shape, thirds) / np.log(2) < 0.03, name


def test_a_sample_is_a_function_of_its_number_alone(samples: list[Sample]) -> None:
    assert render_sample(CONFIG, "test", 3) == samples[3]
    assert render_sample(CONFIG.model_copy(update={"seed": 1}), "test", 3) != samples[3]


@pytest.mark.parametrize("modalities", [("depth", "audio"), ("image",), ("infrared",), ("video", "depth"), ("audio",)])
def test_leaving_modalities_out_changes_nothing_in_the_others(
    samples: list[Sample], modalities: tuple[str, ...]
) -> None:
    only = render_sample(CONFIG.model_copy(update={"modalities": modalities}), "test", 3)
    assert only.metadata == samples[3].metadata
    assert only.media == {name: samples[3].media[name] for name in modalities}


def test_media_are_what_the_format_promises(samples: list[Sample]) -> None:
    for sample in samples:
        assert set(sample.media) == set(CONFIG.modalities)
        assert [file.suffix for file in sample.media["depth"]] == [f"{i}.png" for i in range(8)]
        assert [file.suffix for file in sample.media["infrared"]] == [f"{i}.jpg" for i in range(8)]
        for file in sample.media["depth"]:
            depth = decode(file.data)
            assert (depth.shape, depth.dtype) == ((112, 112), np.uint16)
            assert 0 < (depth == 0).mean() < 0.01
            assert depth.max() <= 10_000
            assert depth[depth > 0].min() > 1_000
        assert decode(sample.media["image"][0].data).shape == (112, 112, 3)
        waveform, rate_hz = soundfile.read(io.BytesIO(sample.media["audio"][0].data))
        assert (rate_hz, waveform.shape) == (16_000, (32_000,))
        assert 0.1 < np.abs(waveform).max() <= 1
        with av.open(io.BytesIO(sample.media["video"][0].data), "r") as container:
            assert [frame.width for frame in container.decode(video=0)] == [112] * 8


def test_modalities_show_the_same_object() -> None:
    """What is hot in infrared stands, in the same pixels, where depth says that the object is."""
    composition = Composition("ball", "red", "wall", "hot", "resting", "bell", "large", "near")
    rng = np.random.default_rng(0)
    view = look(draw_scene(composition, rng, 112, 1))
    rgb = paint(view, [0])[0].astype(float)
    metres = measure_depth(view, rng)[0] / 1000
    hot, red = measure_heat(view, rng)[0] > 0.75 * 255, rgb[..., 0] > 2.5 * rgb[..., 1]
    assert hot.sum() > 1000
    assert (hot & red).sum() > 0.5 * hot.sum()
    assert 2.0 < np.median(metres[hot]) < 2.7
    assert np.ptp(metres[hot & (metres > 0)]) < 0.62
    assert np.median(metres[~hot]) > 3


def test_texts_speak_the_words_of_the_labels() -> None:
    rng = np.random.default_rng(0)
    for c in draw("train", 96):
        texts = write_texts(c, rng, 8)
        assert len(texts.keyframes) == 8
        assert all(c.shape in (caption or "") for caption in texts.keyframes)
        assert c.labels()["audio"].split(" ", 1)[1] in (texts.sound or "")
        words = (c.shape, c.colour, c.temperature, c.motion, c.sound, c.size)
        assert all(word in (texts.enhanced or "") for word in words)
        assert c.motion in (texts.video or "")
        assert "#" in (texts.raw or "")
        foreign = set(ATTRIBUTES["shape"] + ATTRIBUTES["colour"] + ATTRIBUTES["motion"]) - {c.shape, c.colour, c.motion}
        everything = " ".join([*map(str, texts.keyframes), str(texts.enhanced), str(texts.raw)])
        assert not foreign & set(everything.replace("#", " ").replace(".", " ").split())


def test_labels_are_phrases_for_prompts() -> None:
    c = Composition("cone", "orange", "stairs", "hot", "bouncing", "bell", "large", "near")
    assert {name: phrase for name, phrase in c.labels().items() if name in MODALITIES} == {
        "image": "orange cone",
        "depth": "cone on the stairs",
        "infrared": "hot cone",
        "video": "bouncing cone",
        "audio": "bouncing bell",
    }


def test_generate_makes_all_splits_lazily() -> None:
    config = TinyVidalConfig(num_train=2, num_val=1, num_test=1, image_size_px=32, num_frames=2, modalities=("image",))
    assert num_samples(config) == {"train": 2, "val": 1, "test": 1}
    made = list(generate(config))
    assert [s.split for s in made] == ["train", "train", "val", "test"]
    assert len({s.metadata.id for s in made}) == 4
    assert next(generate(CONFIG.model_copy(update={"num_train": 10**9}))).metadata.id == "tiny-train-000000"


def test_contact_sheet_is_a_picture_of_all_samples(samples: list[Sample]) -> None:
    audio_only = Sample(samples[0].metadata, "test", {"audio": samples[0].media["audio"]})
    picture = decode(contact_sheet([*samples[:2], audio_only]))
    assert picture.shape[0] > 3 * 112
    assert picture.std() > 10


@pytest.mark.parametrize("modalities", [(), ("depth", "depth")])
def test_modalities_are_named_once(modalities: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="modalit"):
        validate(TinyVidalConfig, {"modalities": modalities})
