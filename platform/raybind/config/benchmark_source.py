"""How the annotations of a benchmark are read, by the kinds of formats there are."""

from typing import Literal

from raybind.config.base import Config


class TableFormat(Config):
    """Rows of a text file, each an item or one text of an item."""

    kind: Literal["table"]


class BoxesFormat(Config):
    """Boxes in pictures; each box is an item, cut out."""

    kind: Literal["boxes"]


class NyuDepthFormat(Config):
    """The labelled part of NYU Depth V2, a MATLAB file."""

    kind: Literal["nyu_depth"]


SourceFormat = TableFormat | BoxesFormat | NyuDepthFormat
