"""Which texts a sample is paired with, and how a published title becomes one."""

import re

import numpy as np

from raybind.config.data import TextSource
from raybind.data.sample import Texts
from raybind.errors import DataError

_NOISE = (
    "video short shorts youtube youtubeshorts shortsyoutube ytshort ytshorts shortvideo shortsfeed myfirstshort "
    "myfirstshorts tiktok tiktokchallenge viral viralvideo viralshorts virlshort ytviralshorts"
)
"""What says where a video was published, not what it shows (official code; the paper's examples have "fyp" too)."""

_NOISE_WORD = re.compile(rf"#?\b({'|'.join(_NOISE.split())})\b")
_NOT_IN_TITLE = re.compile(r"""[^a-z0-9\s.,;:?!'"|]""")
_NOT_IN_HASHTAGS = re.compile(r"[^a-z0-9\s]")


MIXED: tuple[TextSource, ...] = ("enhanced", "video", "keyframe", "raw", "sound")
"""The views of `mix`, equally often (official loader: 0.2 each, a key-frame caption with its frame)."""


def view_of(texts: Texts, source: TextSource, generator: np.random.Generator | None) -> TextSource:
    """The view a sample is paired with: `source`, or where that is `mix` one that the sample has.

    Args:
        generator: draws it; None (evaluation) takes the first of `MIXED` that is there.
    Raises: DataError: the sample has none of them.
    """
    if source != "mix":
        return source
    present: list[TextSource] = [
        view for view in MIXED if (any(texts.keyframes) if view == "keyframe" else getattr(texts, view))
    ]
    if not present:
        raise DataError("no text of any view; choose another data.text_source", cause="missing text")
    return present[0 if generator is None else int(generator.integers(len(present)))]


def texts_of(texts: Texts, source: TextSource, frame: int | None) -> tuple[str, ...]:
    """All texts of one view, each a right answer in retrieval.

    Args:
        source: the view, not `mix`.
        frame: number of the key frame that is shown, whose caption `keyframe` means; None where the whole sample is
            shown, and every key-frame caption is right.
    Raises: DataError: the sample has no text of this view.
    """
    present = present_texts(texts, source, frame)
    if not present:
        raise DataError(f"no {source} text; choose another data.text_source", cause="missing text")
    return present


def present_texts(texts: Texts, source: TextSource, frame: int | None) -> tuple[str, ...]:
    """What `texts_of` returns, which may be nothing."""
    if source == "keyframe":
        found = texts.keyframes if frame is None else texts.keyframes[frame : frame + 1]
    elif source == "caption":
        found = texts.captions
    elif source == "raw":
        found = (texts.raw and clean_title(texts.raw),)
    else:
        found = (getattr(texts, source),)
    return tuple(text for text in found if text)


def all_texts(texts: Texts) -> tuple[str, ...]:
    """Every distinct text that `texts_of` may give for a sample, in a fixed order."""
    title = (clean_title(texts.raw),) if texts.raw else ()
    views = (*title, *texts.keyframes, texts.video, texts.enhanced, texts.sound, *texts.captions)
    return tuple(dict.fromkeys(text for text in views if text))


def clean_title(raw: str) -> str:
    """The words of a published title and its hashtags, `my funny cat, cat pet` (LanguageBind, Sec. 4.2).

    Equal to the official cleaning but for two things: that one also cuts noise out of longer words ("shortbread"), and
    mends wrongly decoded characters, which the tokenizer does here.
    """
    title, _, hashtags = raw.lower().partition("#")
    words = (_only_words(title, _NOT_IN_TITLE), _only_words(f"#{hashtags}", _NOT_IN_HASHTAGS))
    return ", ".join(words)


def _only_words(text: str, foreign: re.Pattern[str]) -> str:
    without_noise = _NOISE_WORD.sub(" ", text).replace("#", " ")
    return " ".join(foreign.sub("", without_noise).split())
