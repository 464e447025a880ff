"""How the annotations of a benchmark are read, by the kinds of formats there are.

Places of files are relative to the data set's folder. `{column}` in a place or an id is the value of that column, and
`{column:0>6}` fills it up with zeros to six characters (Python's format language for strings). A place that ends in
`.*` stands for any file type that the modality can be read from.
"""

import string
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from raybind.config.base import Config


def _plain_fields(template: str) -> str:
    for _, name, _, conversion in string.Formatter().parse(template):
        if name is not None and (not name.isidentifier() or conversion):
            raise ValueError(f"{template!r}: {{{name}}} must be the name of a column")
    return template


Template = Annotated[str, AfterValidator(_plain_fields)]
"""Text with the values of columns in it."""

Places = dict[str, tuple[Template, ...]]
"""Of each modality the places where its file may lie; the first that holds one counts."""


class Table(Config):
    """A text file of rows; rows of the same id are about the same item."""

    file: str
    form: Literal["csv", "json", "jsonl", "words"]
    """csv: separated columns. json: a list of objects, or an object of objects whose keys are the column `key`. jsonl:
    an object on each line. words: columns separated by white space, of which the last takes the rest of the line."""
    id: Template
    """Of the item a row is about."""
    columns: tuple[str, ...] | None = None
    """Their names, for a csv file without a header and for words."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    comment: str | None = None
    """What lines start with that are no rows: those before the rows of a csv file, any line of words."""
    records: str | None = None
    """For json: the key under which the rows stand, where they are not the whole file."""
    where: dict[str, str] = Field(default_factory=dict)
    """Only rows with these values, by column."""
    captions: tuple[str, ...] = ()
    """Columns that hold a text, or a list of texts."""
    label: str | None = None
    """Column that holds the class."""
    label_separator: str | None = None
    """What stands between classes where a row has several."""


class TableFormat(Config):
    """Rows of text files, and media files that they name."""

    kind: Literal["table"]
    tables: tuple[Table, ...] = Field(min_length=1)
    """The first lists the items; the others add texts and classes to those, and their further rows are not read."""
    media: Places
    """With the columns of an item's first row; an item that lacks those of a modality's places has no such modality.
    Sound may be that of a video file."""
    paragraph: bool = False
    """Whether all captions of an item are one text (paragraph retrieval), in the order of the rows."""


class BoxesFormat(Config):
    """Boxes in pictures; each box is an item, cut out."""

    kind: Literal["boxes"]
    form: Literal["voc", "coco"]
    """voc: an xml file for every picture (PASCAL VOC). coco: one json file of images, annotations and categories."""
    annotations: str
    """Folder of the xml files, or the json file."""
    pictures: Places
    """By modality, with the columns `name` (file name as the annotations have it), `stem` (without suffix and folder).
    Boxes hold in all modalities alike; the first one decides which annotations are read."""
    classes: tuple[str, ...] = ()
    """Boxes of other classes are left out; none named keeps all."""
    background: str | None = None
    """Class of as many further cuts that meet no box, each of the size of one of the boxes, at a place drawn by a hash
    of the picture's name; pictures in which none fits have fewer. null cuts none."""


class NyuDepthFormat(Config):
    """The labelled part of NYU Depth V2: a MATLAB 7.3 file of pictures, and a MATLAB 5 file of the split."""

    kind: Literal["nyu_depth"]
    file: str = "nyu_depth_v2_labeled.mat"
    split_file: str = "splits.mat"
    split_name: Literal["testNdxs", "trainNdxs"] = "testNdxs"
    """Numbers from 1 of the pictures that take part."""


SourceFormat = TableFormat | BoxesFormat | NyuDepthFormat
