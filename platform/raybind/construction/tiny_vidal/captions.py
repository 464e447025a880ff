"""Writes the multi-view texts of a sample: varied sentences with the attribute words of its labels.

The texts keep the roles they have in VIDAL: a noisy title with hashtags, a caption per key frame that says what a still
shows, a video caption that says how it moves, a longer refined one, and what is heard.
"""

import numpy as np

from raybind.construction.tiny_vidal.world import SETTING_PHRASES, Composition, with_article
from raybind.data.sample import Texts

_DISTANCE_PHRASES = {"near": "near the camera", "midway": "midway back", "far": "far from the camera"}
_OPENINGS = ("", "", "a photo of ", "a picture of ", "a view of ", "there is ", "this is ", "we see ")
_MENTIONED = {"temperature": 0.26, "motion": 0.26, "sound": 0.16, "colour": 0.16, "setting": 0.16}
"""What a key-frame caption may name, and how often: what is easily seen less than what is not."""
_NUM_MENTIONED = (0.2, 0.4, 0.25, 0.15)
"""How often a key-frame caption names none, one, two or three attributes besides the shape, which it always names: few,
so that those easily seen do not tell the samples of a batch apart without those harder to see."""


def write_texts(composition: Composition, rng: np.random.Generator, num_frames: int) -> Texts:
    """All texts of a sample; `keyframes` has one caption per key frame."""
    return Texts(
        raw=_title(composition, rng),
        keyframes=tuple(_still(composition, rng) for _ in range(num_frames)),
        video=_clip(composition, rng),
        enhanced=_story(composition, rng),
        sound=_heard(composition, rng),
    )


def _still(composition: Composition, rng: np.random.Generator) -> str:
    number = rng.choice(len(_NUM_MENTIONED), p=_NUM_MENTIONED)
    mentioned = {str(name) for name in rng.choice(list(_MENTIONED), number, replace=False, p=list(_MENTIONED.values()))}
    if number > 1 and rng.random() < 0.3:
        mentioned.add("size")
    text = _object(composition, mentioned)
    if "setting" in mentioned:
        text += f" {SETTING_PHRASES[composition.setting]}"
    if len(mentioned) > 1 and rng.random() < 0.3:
        text += f", {_DISTANCE_PHRASES[composition.distance]}"
    return _say(text, rng)


def _object(composition: Composition, mentioned: set[str]) -> str:
    """`a large hot bouncing red cone with a bell sign` with the words of the mentioned attributes."""
    order = ("size", "temperature", "motion", "colour")
    words = [getattr(composition, name) for name in order if name in mentioned]
    mark = f" with {with_article(composition.sound)} sign" if "sound" in mentioned else ""
    return with_article(" ".join([*words, composition.shape])) + mark


def _say(text: str, rng: np.random.Generator) -> str:
    return f"{rng.choice(_OPENINGS)}{text}{rng.choice(('', '.'))}"


def _title(composition: Composition, rng: np.random.Generator) -> str:
    lead = rng.choice(("look at this", "my", "wow,", "daily", "when you meet a"))
    tags = [composition.shape, composition.colour, composition.temperature, composition.motion, composition.sound]
    hashtags = " ".join(f"#{tag}" for tag in rng.permutation(tags)[:3])
    return f"{lead} {composition.motion} {composition.shape} {SETTING_PHRASES[composition.setting]} {hashtags}"


def _clip(composition: Composition, rng: np.random.Generator) -> str:
    mentioned = {"motion"} | {name for name in ("colour", "size", "temperature", "sound") if rng.random() < 0.4}
    place = f" {SETTING_PHRASES[composition.setting]}" if rng.random() < 0.5 else ""
    opening = rng.choice(("", "a video of ", "a clip of ", "we watch "))
    return f"{opening}{_object(composition, mentioned)}{place}"


def _story(composition: Composition, rng: np.random.Generator) -> str:
    everything = {"size", "temperature", "motion", "colour", "sound"}
    place, distance = SETTING_PHRASES[composition.setting], _DISTANCE_PHRASES[composition.distance]
    thing = _object(composition, everything)
    return str(
        rng.choice(
            (
                f"{thing} {place}, {distance}.",
                f"{place}, {distance}, there is {thing}.",
                f"the scene shows {thing}, {distance} {place}.",
            )
        )
    )


def _heard(composition: Composition, rng: np.random.Generator) -> str:
    loudness = {"near": "loud", "midway": "clear", "far": "faint"}[composition.distance]
    thing = f"{composition.motion} {composition.sound}"
    return str(
        rng.choice(
            (
                f"the sound of {with_article(thing)}",
                f"{with_article(thing)} is heard",
                f"we hear {with_article(f'{loudness} {thing}')}",
                f"{with_article(f'{loudness} {thing}')}",
            )
        )
    )
