"""The attributes of TinyVIDAL, the pairs of them that are kept for the test, and the drawing of compositions.

A modality is tested on classes that are pairs of attributes it can show (`CLASS_ATTRIBUTES`). A part of the pairs is
held out: `train` and `val` hold none of them, a `test` sample is held out in all five pairs at once. Decisions:

- Eight values, a quarter of the pairs held out (16 of 64). Six values would need half of the pairs for 16 classes, and
  then colour, setting, temperature and motion together would nearly name the shape in training: a shortcut that turns
  against the model in the test. Temperature, which has only four clearly different levels, does lose half. What two
  attributes tell about each other by way of the shape stays below 0.1 bit.
- Values are held out in groups of two (shapes 0 and 1 with colours 2 and 3, ...). Whatever hint the other attributes
  give about the shape in training, they give it for both shapes of a group alike, and the test classes of one colour
  are just such a group: no attribute favours one candidate over another.
- Samples come in blocks of 48, in which every seen pair of eight-valued attributes appears once (a held-out one three
  times). In every prefix of a split the counts of the classes differ by at most one.
"""

from dataclasses import asdict, dataclass

import numpy as np

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
BLOCK_SIZE = 48
_ROUNDS = 6
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
                return with_article(f"{self.colour} {self.shape}")
            case "depth":
                return f"{with_article(self.shape)} {SETTING_PHRASES[self.setting]}"
            case "infrared":
                return with_article(f"{self.temperature} {self.shape}")
            case "video":
                return with_article(f"{self.motion} {self.shape}")
            case _:
                return with_article(f"{self.motion} {self.sound}")


def with_article(phrase: str) -> str:
    """`a red cone`, `an orange cone`."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def is_held_out(modality: str, first: int, second: int) -> bool:
    """Whether a pair of value numbers (in the order of `CLASS_ATTRIBUTES[modality]`) is kept for the test."""
    group = first * _GROUPS // 8
    if modality == "infrared":
        return (second - group) % _GROUPS in (0, 1)
    return (second * _GROUPS // 8 - group) % _GROUPS == 1


def classes(modality: str, split: str) -> list[str]:
    """The class phrases of a modality that occur in a split, in a fixed order: 16 in `test`, the others elsewhere."""
    first, second = CLASS_ATTRIBUTES[modality]
    filler = {name: values[0] for name, values in ATTRIBUTES.items()}
    return [
        Composition(**filler | {first: one, second: two}).labels()[modality]
        for number, one in enumerate(ATTRIBUTES[first])
        for two in (ATTRIBUTES[second][other] for other in _partners(modality, number, split))
    ]


def composition(seed: int, split: str, number: int) -> Composition:
    """The attributes of sample `number` of a split: a pure function of its arguments."""
    block, place = divmod(number, BLOCK_SIZE)
    columns = _draw_block(seed, split, block)
    return Composition(**{name: ATTRIBUTES[name][column[place]] for name, column in columns.items()})


def _partners(modality: str, first: int, split: str) -> list[int]:
    """Value numbers of the second attribute that a split pairs with value `first` of the first."""
    second = ATTRIBUTES[CLASS_ATTRIBUTES[modality][1]]
    return [number for number in range(len(second)) if is_held_out(modality, first, number) == (split == "test")]


def _draw_block(seed: int, split: str, block: int) -> dict[str, list[int]]:
    """Value numbers of the 48 samples of a block, by attribute: six rounds, each with every shape once."""
    rng = np.random.default_rng([seed, SPLITS.index(split), block])
    order = [int(shape) for _ in range(_ROUNDS) for shape in rng.permutation(len(ATTRIBUTES["shape"]))]
    columns = {"shape": order}
    for modality in ("image", "depth", "infrared", "video"):
        columns[CLASS_ATTRIBUTES[modality][1]] = _deal(
            rng, order, [_partners(modality, shape, split) for shape in range(8)]
        )
    columns["sound"] = _deal(rng, columns["motion"], [_partners("audio", motion, split) for motion in range(8)])
    for name in ("size", "distance"):
        columns[name] = _deal(rng, order, [[0, 1, 2]] * 8)
    return columns


def _deal(rng: np.random.Generator, owners: list[int], decks: list[list[int]]) -> list[int]:
    """Give each owner the cards of its deck in random order, every card once before any comes again.

    Args:
        owners: the owner at each place of the block; each occurs `_ROUNDS` times.
        decks: value numbers by owner; their count divides `_ROUNDS`.
    """
    dealt = [[card for _ in range(_ROUNDS // len(deck)) for card in rng.permutation(deck)] for deck in decks]
    piles = [iter(pile) for pile in dealt]
    return [int(next(piles[owner])) for owner in owners]
