"""Benchmarks whose items are boxes in pictures, cut out and stored without loss.

A box is [x0, y0, x1, y1] in pixels from the upper left corner, x1 and y1 being the first ones outside; the numbers of
PASCAL VOC files are taken as they stand, as LLVIP's own tools do. A box ends where its picture ends; one of which
nothing is left is listed all the same and refused when it is loaded, so that it has a name. Which cuts there are
follows from the annotations alone: it is the same on every machine, and known before a picture is read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from raybind.config.benchmark_source import BoxesFormat
from raybind.config.data import PreprocessConfig
from raybind.construction.benchmarks.annotated_pictures import (
    AnnotatedPicture,
    Box,
    Corners,
    coco_pictures,
    name_columns,
    voc_name,
    voc_picture,
)
from raybind.construction.benchmarks.base import ListedItem
from raybind.construction.benchmarks.places import Finder, filled
from raybind.construction.benchmarks.table import read_annotations
from raybind.construction.sources.base import read_media
from raybind.data.media_headers import has_key_frames
from raybind.data.sample import MediaFile, UnpackableSample
from raybind.data.storage import Storage
from raybind.errors import ConfigError, DataError
from raybind.modalities.media.images import read_all_bits

_TRIES = 50
"""Places that are tried for one background cut."""


@dataclass(frozen=True)
class BoxesReader:
    """Reads such annotations, and cuts the boxes out of the pictures."""

    storage: Storage
    format: BoxesFormat

    def items(self) -> Iterator[ListedItem]:
        """See `BenchmarkReader`: picture by picture, first its boxes, then its background cuts."""
        for place in (place for places in self.format.pictures.values() for place in places):
            filled(place, name_columns(""))
        finder = Finder(self.storage)
        for picture in self._pictures(finder):
            columns = name_columns(picture.name)
            paths = {name: finder.place(name, places, columns) for name, places in self.format.pictures.items()}
            for key, (name, corners) in self._cuts(picture):
                record = {"paths": paths, "size": list(picture.size), "corners": list(corners)}
                yield ListedItem(f"{columns['stem']}_{key}", tuple(paths), classes=(name,), record=record)

    def load(self, record: dict[str, Any], modality: str) -> tuple[MediaFile, ...]:
        """See `BenchmarkReader`; a cut is a png file."""
        path, suffix = record["paths"][modality], "0.png" if has_key_frames(modality) else "png"
        (picture,) = read_media(self.storage, [(suffix, path)])
        return (MediaFile(suffix, _cut_out(picture.data, record["corners"], record["size"], path)),)

    def _cuts(self, picture: AnnotatedPicture) -> Iterator[tuple[str, Box]]:
        """Each with a key; boxes are numbered among all of the picture, whichever classes are read."""
        wanted = self.format.classes
        kept = [(str(number), box) for number, box in enumerate(picture.boxes, 1) if not wanted or box[0] in wanted]
        yield from kept
        if self.format.background is not None:
            for number, cut in enumerate(_background_cuts(picture, [corners for _, (_, corners) in kept]), 1):
                yield f"background_{number}", (self.format.background, cut)

    def _pictures(self, finder: Finder) -> Iterator[AnnotatedPicture]:
        where = self.format.annotations
        if self.format.form == "coco":
            yield from coco_pictures(read_annotations(self.storage, where), f"{self.storage.root}/{where}")
            return
        names = [name for name in self.storage.children(where) if name.endswith(".xml")]
        read = [name for name in names if self._has_picture(name, finder)]
        if not read:
            raise ConfigError(
                f"{self.storage.root}/{where}: {len(names)} xml files, of which none has a picture in its place"
            )
        for name in read:
            text = read_annotations(self.storage, f"{where}/{name}")
            yield voc_picture(text, f"{self.storage.root}/{where}/{name}")

    def _has_picture(self, annotation: str, finder: Finder) -> bool:
        """Whether the first modality has the picture of an xml file; the others belong to another split."""
        modality, places = next(iter(self.format.pictures.items()))
        return finder.find(modality, places, name_columns(voc_name(annotation))) is not None


def _background_cuts(picture: AnnotatedPicture, boxes: Sequence[Corners]) -> Iterator[Corners]:
    """For each box a cut of its size that meets no box of the picture, where one is found."""
    seed = name_columns(picture.name)["stem"]
    for number, box in enumerate(boxes):
        drawn = (_drawn_cut(picture.size, box, f"{seed}:{number}:{attempt}") for attempt in range(_TRIES))
        free = (cut for cut in drawn if not any(_meet(cut, taken) for _, taken in picture.boxes))
        cut = None if _is_empty(box) else next(free, None)
        if cut is not None:
            yield cut


def _drawn_cut(size: tuple[int, int], box: Corners, seed: str) -> Corners:
    """Of the size of a box, at a place inside the picture that a hash of the seed draws."""
    width, height = box[2] - box[0], box[3] - box[1]
    digest = hashlib.sha256(seed.encode()).digest()
    x = int.from_bytes(digest[:8], "big") % (size[0] - width + 1)
    y = int.from_bytes(digest[8:16], "big") % (size[1] - height + 1)
    return x, y, x + width, y + height


def _meet(one: Corners, other: Corners) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _is_empty(box: Sequence[int]) -> bool:
    return box[2] <= box[0] or box[3] <= box[1]


def _cut_out(media: bytes, corners: Sequence[int], size: Sequence[int], path: str) -> bytes:
    try:
        pixels = read_all_bits(media, ("JPEG", "PNG", "TIFF"), PreprocessConfig().max_pixels)
    except DataError as error:
        raise UnpackableSample(error.cause, path) from None
    if pixels.shape[1::-1] != tuple(size):
        raise UnpackableSample("picture has another size than its annotation says", path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnpackableSample(f"pixels of type {pixels.dtype} cannot be cut out without loss", path)
    if _is_empty(corners):
        raise UnpackableSample("box has no pixel inside its picture", path)
    x0, y0, x1, y1 = corners
    cut = pixels[y0:y1, x0:x1]
    return cv2.imencode(".png", cut[..., ::-1] if cut.ndim == 3 else cut)[1].tobytes()
