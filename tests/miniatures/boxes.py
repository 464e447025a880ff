"""Miniatures of the infrared data sets, whose items are boxes in pictures."""

import json
from pathlib import Path

from tests.miniatures.base import Expected, ExpectedItem, picture

_WIDTH, _HEIGHT = 128, 96

_VOC_OBJECT = """\
\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>{truncated}</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""
_VOC_FILE = """\
<?xml version="1.0" ?><annotation>
\t<folder>JPEGImages</folder>
\t<filename>{stem}.jpg</filename>
\t<path></path>
\t<source>
\t\t<database>Unknown</database>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>1</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>"""


def llvip(folder: Path) -> Expected:
    """LLVIP: one folder of xml files for both splits, and pictures by modality and split.

    Format: LLVIP/Annotations/190001.xml, 190005.xml and 010005.xml as they stand in pratamabintang/fusion; folders as
    bupt-ai-cz/LLVIP names them (README.md, yolov5/xml2txt_yolov5.py).
    """
    pictures = {
        "010007": ("train", [(20, 30, 44, 80)]),
        "190001": ("test", [(20, 30, 44, 80), (110, 28, _WIDTH, 70)]),
        "190013": ("test", [(64, 10, 80, 52)]),
        "260052": ("test", [(2, 1, _WIDTH, 95)]),
    }
    for number, (stem, (split, boxes)) in enumerate(pictures.items()):
        objects = "".join(_VOC_OBJECT.format(name="person", box=box, truncated=int(box[2] == _WIDTH)) for box in boxes)
        xml = _VOC_FILE.format(stem=stem, width=_WIDTH, height=_HEIGHT, objects=objects)
        _put(folder / "Annotations" / f"{stem}.xml", xml.encode())
        for place, modality in enumerate(("infrared", "visible")):
            _put(folder / modality / split / f"{stem}.jpg", picture(2 * number + place, size=(_HEIGHT, _WIDTH)))
    # Nothing fits beside the person of 260052.
    classes = {
        "190001_1": "people",
        "190001_2": "people",
        "190001_background_1": "background",
        "190001_background_2": "background",
        "190013_1": "people",
        "190013_background_1": "background",
        "260052_1": "people",
    }
    return {key: ExpectedItem(("infrared", "image"), classes=(name,)) for key, name in classes.items()}


def flir_v1(folder: Path) -> Expected:
    """FLIR ADAS 1.3: one COCO file for each split; `file_name` is relative to the split's folder.

    Format: RanZhang-CR/test, generate_anotations.py (names `thermal_8_bit/FLIR_*.jpeg`, image ids from 0), and the
    read-me of the data set in group17-CAP5415/cap5415-group17-final (categories as in COCO, 91 for other vehicles);
    as converters of others say, there are about 80 categories, dogs have the id 17, supercategories are `unknown`.
    """
    categories = {1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 17: "dog", 91: "other vehicle"}
    pictures = [f"thermal_8_bit/FLIR_{number:05d}.jpeg" for number in (8863, 8864, 8865, 10228)]
    boxes = [
        (0, 1, [10, 20, 14, 40]),
        (0, 91, [60, 8, 50, 30]),
        (0, 3, [30, 50, 45, 22]),
        (3, 17, [5, 70, 21, 17]),
        (1, 2, [90, 60, _WIDTH - 90, _HEIGHT - 60]),
        (3, 1, [70, 12, 9, 33]),
    ]
    _put_coco(folder / "val" / "thermal_annotations.json", categories, pictures, boxes)
    trained = [f"thermal_8_bit/FLIR_{number:05d}.jpeg" for number in (1, 2)]
    _put_coco(folder / "train" / "thermal_annotations.json", categories, trained, [(1, 1, [1, 2, 30, 40])])
    _put(folder / "val" / "RGB" / "FLIR_08863.jpg", picture(90, size=(180, 160)))
    classes = {
        "FLIR_08863_1": "person",
        "FLIR_08863_3": "car",
        "FLIR_08864_1": "bicycle",
        "FLIR_10228_1": "dog",
        "FLIR_10228_2": "person",
    }
    return {key: ExpectedItem(("infrared",), classes=(name,)) for key, name in classes.items()}


def flir_v2(folder: Path) -> Expected:
    """FLIR ADAS 2: `coco.json` and `data/` in a folder for each split and camera.

    Format: the read-me of the data set (folders, category ids and names, counts that add up to the paper's 16,696) and
    the docs of InterDigitalInc/CompressAI-Vision (folder listing); file names as other repositories cite them,
    `data/video-<17 characters>-frame-<number>-<17 characters>.jpg`.
    """
    categories = {1: "person", 2: "bike", 3: "car", 10: "light", 17: "dog", 73: "stroller", 79: "other vehicle"}
    frames = ("Kd7ZqWm3xTbR8sLnA-frame-000120-uY5cPf2GhJ9vEwQoB", "Kd7ZqWm3xTbR8sLnA-frame-000480-a4RtNz6MbXk8SdLhC")
    stems = [f"video-{frame}" for frame in frames]
    boxes = [
        (1, 79, [3, 40, 60, 50]),
        (0, 3, [20, 50, 40, 30]),
        (0, 10, [100, 4, 6, 11]),
        (1, 1, [90, 30, 12, 41]),
        (0, 3, [70, 52, 22, 18]),
    ]
    coco = folder / "images_thermal_val" / "coco.json"
    _put_coco(coco, categories, [f"data/{stem}.jpg" for stem in stems], boxes, {"weather": "clear"})
    video = folder / "video_thermal_test" / "coco.json"
    _put_coco(video, categories, ["data/video-x-frame-000000-y.jpg"], [(0, 1, [1, 2, 30, 40])])
    cars = "car or pick-up trucks or vans"
    classes = {
        f"{stems[0]}_1": cars,
        f"{stems[0]}_2": "traffic light",
        f"{stems[0]}_3": cars,
        f"{stems[1]}_1": "construction equipment or trailers",
        f"{stems[1]}_2": "person",
    }
    return {key: ExpectedItem(("infrared",), classes=(name,)) for key, name in classes.items()}


def _put_coco(
    file: Path,
    categories: dict[int, str],
    pictures: list[str],
    boxes: list[tuple[int, int, list[int]]],
    extra_info: dict[str, str] | None = None,
) -> None:
    """A COCO file, and the pictures that it names, beside it; boxes are (picture, category, [x, y, width, height])."""
    about = {} if extra_info is None else {"extra_info": extra_info}
    coco = {
        "annotations": [
            {
                "area": box[2] * box[3],
                "bbox": box,
                "category_id": category,
                "id": number,
                "image_id": image,
                "iscrowd": 0,
                "segmentation": [],
            }
            for number, (image, category, box) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": key, "name": name, "supercategory": "unknown"} for key, name in categories.items()],
        "images": [
            {**about, "file_name": name, "height": _HEIGHT, "id": number, "width": _WIDTH}
            for number, name in enumerate(pictures)
        ],
        "info": {},
        "licenses": [],
    }
    _put(file, json.dumps(coco).encode())
    for number, name in enumerate(pictures):
        _put(file.parent / name, picture(number, size=(_HEIGHT, _WIDTH)))


def _put(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
