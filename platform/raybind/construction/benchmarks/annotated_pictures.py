"""Boxes in pictures as PASCAL VOC's xml files and COCO's json files have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from pydantic import BaseModel, FiniteFloat, PositiveInt, ValidationError

from raybind.errors import ConfigError

_VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")

Corners = tuple[int, ...]
Box = tuple[str, Corners]
"""Class and corners."""


@dataclass(frozen=True)
class AnnotatedPicture:
    """What the annotations say of one picture; boxes are inside it, in the order of the annotations."""

    name: str
    size: tuple[int, int]
    """Width and height."""
    boxes: tuple[Box, ...]


class _CocoImage(BaseModel):
    id: int | str
    file_name: str
    width: PositiveInt
    height: PositiveInt


class _CocoAnnotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class _CocoCategory(BaseModel):
    id: int | str
    name: str


class _Coco(BaseModel):
    """What is read of such a file."""

    images: tuple[_CocoImage, ...]
    annotations: tuple[_CocoAnnotation, ...]
    categories: tuple[_CocoCategory, ...]


def coco_pictures(text: str, file: str) -> Iterator[AnnotatedPicture]:
    """Pictures of a json file, in its order. Raises: ConfigError: it is not of that form; names the file."""
    try:
        coco = _Coco.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{file} is not of COCO's form: {place}: {problem['msg']}") from None
    names = {category.id: category.name for category in coco.categories}
    boxes: dict[int | str, list[tuple[str, tuple[float, ...]]]] = {image.id: [] for image in coco.images}
    for number, one in enumerate(coco.annotations):
        if one.image_id not in boxes or one.category_id not in names:
            about = f"image {one.image_id} and category {one.category_id}"
            raise ConfigError(f"{file}: annotations.{number} names {about}, which are not both listed")
        x, y, width, height = one.bbox
        boxes[one.image_id].append((names[one.category_id], (x, y, x + width, y + height)))
    for image in coco.images:
        yield _picture(image.file_name, (image.width, image.height), boxes[image.id])


def voc_picture(text: str, file: str) -> AnnotatedPicture:
    """The picture of one xml file. Raises: ConfigError: it is not of that form; names the file."""
    try:
        root = ElementTree.fromstring(text)
        size = (int(_text(root, "size/width")), int(_text(root, "size/height")))
        boxes = [
            (_text(one, "name"), tuple(float(_text(one, f"bndbox/{edge}")) for edge in _VOC_EDGES))
            for one in root.iterfind("object")
        ]
        if min(size) < 1:
            raise ValueError(f"a picture of {size[0]} x {size[1]} pixels")
        return _picture(voc_name(file), size, boxes)
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise ConfigError(f"{file} is not of PASCAL VOC's form: {error}") from None


def _text(parent: ElementTree.Element, path: str) -> str:
    text = (parent.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"<{parent.tag}> has no {path}")
    return text


def _picture(name: str, size: tuple[int, int], boxes: Sequence[tuple[str, Sequence[float]]]) -> AnnotatedPicture:
    def inside(corners: Sequence[float]) -> Corners:
        return tuple(min(max(round(edge), 0), limit) for edge, limit in zip(corners, size * 2, strict=True))

    return AnnotatedPicture(name, size, tuple((box_class, inside(corners)) for box_class, corners in boxes))


def voc_name(file: str) -> str:
    """A picture of any type, with the stem of its xml file."""
    return f"{name_columns(file)['stem']}.*"


def name_columns(name: str) -> dict[str, str]:
    """What places can be filled with."""
    file = name.rpartition("/")[2]
    return {"name": name, "stem": file.rpartition(".")[0] or file}
