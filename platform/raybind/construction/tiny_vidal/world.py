"""The attributes of TinyVIDAL, the pairs of them that are kept for the test, and the drawing of compositions.

A modality is tested on classes that are pairs of attributes it can show (`CLASS_ATTRIBUTES`), 16 of them. A shape's
pairs are held out in one size of the three (`test_size`), which is the size it has in the test: the compositions of
shape, size and colour, setting, temperature or motion that the test shows are in no training. Sounds are held out
with their motion. Decisions:

- Not the bare pairs: a pair that is a test class does occur in training, in the other two sizes, so the test is of
  unseen triples, which is easier than unseen pairs. With 16 of 64 pairs of every attribute held out, colour, setting,
  temperature and motion together nearly name the shape in training, and in the test all of them speak against it: a
  base that told 88 % of the shapes in `val` told none in `test`. As it is, the shipped base tells 90 % of eight shapes
  in `test` by the shape's name alone.
- One attribute of a class is easy: who knows only colour, setting or motion is right in one of two test items, who
  knows only the temperature in one of four. Read accuracies beside that, not beside chance alone.
- Values are held out in groups of two (shapes 0 and 1 with colours 2 and 3, ...). Whatever hint the other attributes
  give about the shape in training, they give it for both shapes of a group alike, and the test classes of one colour
  are just such a group: no attribute favours one candidate over another.
- Samples come in blocks of 192, in which every shape comes eight times in each size, with the partners it may have
  there as evenly as they divide.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

Owner = TypeVar("Owner")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("ball", "cross", "cone", "ring", "cube", "star", "dumbbell", "mushroom"),
    "colour": ("red", "green", "yellow", "blue", "white", "purple", "orange", "black"),
    "setting": ("wall", "tunnel", "stairs", "plain", "corner", "pillars", "corridor", "valley"),
    "temperature": ("frozen", "cool", "warm", "hot"),
    "motion": ("resting", "sliding", "bouncing", "circling", "swinging", "pulsing", "climbing", "shaking"),
    "sound": ("bell", "drum", "whistle", "buzzer", "siren", "cricket", "rattle", "horn"),
    "size": ("small", "medium", "large"),
    "distance": ("near", "midway", "far"),
}
"""Values of each attribute; they are also the words of labels and captions."""

CLASS_ATTRIBUTES: dict[str, tuple[str, str]] = {
    "image": ("shape", "colour"),
    "depth": ("shape", "setting"),
    "infrared": ("shape", "temperature"),
    "video": ("shape", "motion"),
    "audio": ("motion", "sound"),
}
"""Which two attributes make the classes of a modality."""

SETTING_PHRASES = {
    "wall": "against a wall",
    "tunnel": "in a tunnel",
    "stairs": "on the stairs",
    "plain": "on a plain",
    "corner": "in a corner",
    "pillars": "among pillars",
    "corridor": "in a corridor",
    "valley": "in a valley",
}

SPLITS = ("train", "val", "test")
BLOCK_SIZE = 192
_ROUNDS = 24
_GROUPS = 4


@dataclass(frozen=True)
class Composition:
    """One value of every attribute in `ATTRIBUTES`."""

    shape: str
    colour: str
    setting: str
    temperature: str
    motion: str
    sound: str
    size: str
    distance: str

    def labels(self) -> dict[str, str]:
        """Class phrase by modality (see `CLASS_ATTRIBUTES`), and the single attributes by their names."""
        return {modality: self._phrase(modality) for modality in CLASS_ATTRIBUTES} | asdict(self)

    def _phrase(self, modality: str) -> str:
        match modality:
            case "image":
                return f"{self.colour} {self.shape}"
            case "depth":
                return f"{self.shape} {SETTING_PHRASES[self.setting]}"
            case "infrared":
                return f"{self.temperature} {self.shape}"
            case "video":
                return f"{self.motion} {self.shape}"
            case _:
                return f"{self.motion} {self.sound}"


def with_article(phrase: str) -> str:
    """`a red cone`, `an orange cone`."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def is_held_out(modality: str, first: int, second: int) -> bool:
    """Whether a pair of value numbers (in the order of `CLASS_ATTRIBUTES[modality]`) is a class of the test."""
    group = first * _GROUPS // 8
    if modality == "infrared":
        return (second - group) % _GROUPS in (0, 1)
    return (second * _GROUPS // 8 - group) % _GROUPS == 1


def test_size(shape: int) -> int:
    """The size, by number, in which a shape comes in the test, and in which its held-out pairs are in no training."""
    return shape % len(ATTRIBUTES["size"])


def classes(modality: str, split: str) -> list[str]:
    """The class phrases of a modality that occur in a split, in a fixed order: 16 in `test`, all elsewhere."""
    first, second = CLASS_ATTRIBUTES[modality]
    filler = {name: values[0] for name, values in ATTRIBUTES.items()}
    found = {
        Composition(**filler | {first: one, second: two}).labels()[modality]: (number, other)
        for number, one in enumerate(ATTRIBUTES[first])
        for other, two in enumerate(ATTRIBUTES[second])
    }
    if split != "test" and modality != "audio":
        return list(found)
    return [phrase for phrase, pair in found.items() if is_held_out(modality, *pair) == (split == "test")]


def composition(seed: int, split: str, number: int) -> Composition:
    """The attributes of sample `number` of a split: a pure function of its arguments."""
    block, place = divmod(number, BLOCK_SIZE)
    columns = _draw_block(seed, split, block)
    return Composition(**{name: ATTRIBUTES[name][column[place]] for name, column in columns.items()})


def _partners(modality: str, first: int, split: str) -> list[int]:
    """Value numbers of the second attribute that a split pairs with value `first` where pairs are held out at all."""
    second = ATTRIBUTES[CLASS_ATTRIBUTES[modality][1]]
    return [number for number in range(len(second)) if is_held_out(modality, first, number) == (split == "test")]


@lru_cache(maxsize=64)
def _draw_block(seed: int, split: str, block: int) -> dict[str, list[int]]:
    """Value numbers of the 192 samples of a block, by attribute; each shape comes 24 times."""
    rng = np.random.default_rng([seed, SPLITS.index(split), block])
    shapes = [int(shape) for _ in range(_ROUNDS) for shape in rng.permutation(len(ATTRIBUTES["shape"]))]
    sizes = _deal(rng, shapes, lambda shape: [test_size(shape)] if split == "test" else [0, 1, 2])
    columns = {"shape": shapes, "size": sizes}
    for modality in ("image", "depth", "infrared", "video"):
        deck = partial(_deck, modality, split)
        columns[CLASS_ATTRIBUTES[modality][1]] = _deal(rng, list(zip(shapes, sizes, strict=True)), deck)
    columns["sound"] = _deal(rng, columns["motion"], lambda motion: _partners("audio", motion, split))
    columns["distance"] = _deal(rng, shapes, lambda _: [0, 1, 2])
    return columns


def _deck(modality: str, split: str, owner: tuple[int, int]) -> list[int]:
    """Value numbers that a split pairs with a shape in a size."""
    shape, size = owner
    if size == test_size(shape):
        return _partners(modality, shape, split)
    return list(range(len(ATTRIBUTES[CLASS_ATTRIBUTES[modality][1]])))


def _deal(rng: np.random.Generator, owners: Sequence[Owner], deck: Callable[[Owner], list[int]]) -> list[int]:
    """Give each owner the cards of its deck in random order, every card once before any comes again.

    Args:
        owners: the owner at each place of the block.
        deck: value numbers of an owner.
    """
    piles: dict[Owner, list[int]] = {}
    dealt = []
    for owner in owners:
        if not piles.get(owner):
            piles[owner] = rng.permutation(deck(owner)).tolist()
        dealt.append(piles[owner].pop())
    return dealt
