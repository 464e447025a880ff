"""Which texts a sample is paired with."""

from raybind.config.data import TextSource
from raybind.data.sample import Texts
from raybind.errors import DataError


def texts_of(texts: Texts, source: TextSource, frame: int | None) -> tuple[str, ...]:
    """All texts of one view, each a right answer in retrieval.

    Args:
        source: the view.
        frame: number of the key frame that is shown, whose caption `keyframe` means; None where the whole sample is
            shown, and every key-frame caption is right.
    Raises: DataError: the sample has no text of this view.
    """
    if source == "keyframe":
        found = texts.keyframes if frame is None else texts.keyframes[frame : frame + 1]
    elif source == "caption":
        found = texts.captions
    else:
        found = (getattr(texts, source),)
    present = tuple(text for text in found if text)
    if not present:
        raise DataError(f"no {source} text; choose another data.text_source", cause="missing text")
    return present
