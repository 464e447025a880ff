"""Which text a sample is paired with."""

from collections.abc import Sequence

import numpy as np

from raybind.config.data import TextSource
from raybind.data.sample import Texts
from raybind.errors import DataError


def choose_text(texts: Texts, source: TextSource, frame: int, generator: np.random.Generator | None) -> str:
    """The text of one view.

    Args:
        source: the view; `keyframe` takes the caption of the key frame that is shown.
        frame: number of the key frame that is shown.
        generator: draws among captions of equal standing; None takes the first (evaluation).
    Raises: DataError: the sample has no text of this view.
    """
    if source == "keyframe":
        text = texts.keyframes[frame] if frame < len(texts.keyframes) else None
    elif source == "caption":
        text = _draw(texts.captions, generator)
    else:
        text = getattr(texts, source)
    if not text:
        raise DataError(f"no {source} text; choose another data.text_source", cause="missing text")
    return text


def _draw(captions: Sequence[str], generator: np.random.Generator | None) -> str | None:
    if not captions:
        return None
    return captions[int(generator.integers(len(captions))) if generator is not None else 0]
