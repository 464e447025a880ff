"""Boxes of PASCAL VOC and COCO files are listed as annotated and cut out as they are; what is damaged is named."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from raybind.config.base import load_config
from raybind.config.benchmark import BenchmarkConfig
from raybind.config.benchmark_source import BoxesFormat
from raybind.construction.benchmarks.base import ListedItem
from raybind.construction.benchmarks.boxes import BoxesReader
from raybind.data.media_headers import check_media
from raybind.data.sample import UnpackableSample
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from tests.miniatures import boxes as miniatures
from tests.miniatures.base import Expected, picture

BENCHMARKS = Path(__file__).parents[3] / "platform/raybind/evaluation/benchmarks"
SIZE = (90, 120)
CROWD = [("person", (10, 10, 30, 60)), ("dog", (60.4, 20, 80, 40)), ("person", (90, 5, 118, 85))]


def coco_file(boxes: Sequence[tuple[str, tuple[float, ...]]], **changes: object) -> dict[str, object]:
    names = sorted({name for name, _ in boxes})
    annotations = [
        {"image_id": 7, "category_id": names.index(name), "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for name, (x0, y0, x1, y1) in boxes
    ]
    images = [{"id": 7, "file_name": "data/street.png", "width": SIZE[1], "height": SIZE[0]}]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories} | changes


def coco(folder: Path, content: object, **settings: object) -> BoxesReader:
    """A reader of one picture, `data/street.png`."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "coco.json").write_text(text)
    put(folder / "data/street.png", picture(1, ".png", SIZE))
    places = {"kind": "boxes", "form": "coco", "annotations": "coco.json", "pictures": {"image": ["{name}"]}}
    return reader(folder, places | settings)


def reader(folder: Path, settings: dict[str, object]) -> BoxesReader:
    return BoxesReader(open_storage(str(folder)), BoxesFormat.model_validate(settings))


def put(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def loaded(source: BoxesReader, item: ListedItem, modality: str = "image") -> np.ndarray:
    (file,) = source.load(item.record, modality)
    check_media(modality, [file])
    return stored(file.data)


def stored(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def cause_of(source: BoxesReader, item: ListedItem, modality: str = "image") -> tuple[str, str | None]:
    with pytest.raises(UnpackableSample) as caught:
        source.load(item.record, modality)
    return caught.value.cause, caught.value.file


@pytest.mark.parametrize("name", ["llvip", "flir_v1", "flir_v2"])
def test_miniature_is_read_as_expected(name: str, tmp_path: Path) -> None:
    config = load_config(BenchmarkConfig, BENCHMARKS / f"{name}.yaml")
    expected: Expected = getattr(miniatures, name)(tmp_path)
    assert isinstance(config.source, BoxesFormat)
    source = pickle.loads(pickle.dumps(BoxesReader(open_storage(str(tmp_path)), config.source)))  # noqa: S301
    items = list(source.items())
    assert [item.key for item in items] == list(expected)
    for item in items:
        assert item.modalities == expected[item.key].modalities
        assert tuple(config.classes.names.get(one, one) for one in item.classes) == expected[item.key].classes
        x0, y0, x1, y1 = item.record["corners"]
        for modality in item.modalities:
            assert loaded(source, item, modality).shape[:2] == (y1 - y0, x1 - x0)
        assert json.loads(json.dumps(item.record)) == item.record


def test_a_cut_is_the_pixels_of_its_box_in_every_modality(tmp_path: Path) -> None:
    deep = picture(2, ".png", SIZE, bits=16)
    put(tmp_path / "deep/street.png", deep)
    source = coco(tmp_path, coco_file(CROWD), pictures={"image": ["{name}"], "infrared": ["deep/{stem}.*"]})
    items = list(source.items())
    colours = stored(picture(1, ".png", SIZE))
    for item, (_, box) in zip(items, CROWD, strict=True):
        x0, y0, x1, y1 = (round(edge) for edge in box)
        assert np.array_equal(loaded(source, item), colours[y0:y1, x0:x1])
        assert np.array_equal(loaded(source, item, "infrared"), stored(deep)[y0:y1, x0:x1])
    assert source.load(items[0].record, "infrared")[0].suffix == "0.png"
    assert source.load(items[0].record, "image")[0].suffix == "png"


def test_only_the_classes_named_are_read_and_numbers_stay(tmp_path: Path) -> None:
    every = list(coco(tmp_path, coco_file(CROWD)).items())
    people = list(coco(tmp_path, coco_file(CROWD), classes=["person"]).items())
    assert [(item.key, item.classes) for item in every] == [
        ("street_1", ("person",)),
        ("street_2", ("dog",)),
        ("street_3", ("person",)),
    ]
    assert people == [every[0], every[2]]


def test_background_cuts_have_the_sizes_of_boxes_and_meet_none(tmp_path: Path) -> None:
    source = coco(tmp_path, coco_file(CROWD), classes=["person"], background="nothing")
    cuts = [item for item in source.items() if "background" in item.key]
    assert [(item.key, item.classes) for item in cuts] == [
        ("street_background_1", ("nothing",)),
        ("street_background_2", ("nothing",)),
    ]
    assert [loaded(source, cut).shape[:2] for cut in cuts] == [(50, 20), (80, 28)]
    for x0, y0, x1, y1 in (cut.record["corners"] for cut in cuts):
        assert 0 <= x0 < x1 <= SIZE[1]
        assert 0 <= y0 < y1 <= SIZE[0]
        for _, (left, top, right, bottom) in CROWD:
            assert x1 <= left or right <= x0 or y1 <= top or bottom <= y0


def test_where_no_background_cut_fits_there_are_fewer(tmp_path: Path) -> None:
    boxes = [("person", (0, 0, 100, 50)), ("person", (110, 60, 116, 70))]
    source = coco(tmp_path, coco_file(boxes), background="nothing")
    sizes = [loaded(source, item).shape[:2] for item in source.items()]
    assert sizes == [(50, 100), (10, 6), (10, 6)]


def test_background_cuts_are_the_same_wherever_they_are_drawn(tmp_path: Path) -> None:
    source = coco(tmp_path, coco_file([("person", (0, 0, 10, 10))]), background="nothing")
    corners = [item.record["corners"] for item in source.items()]
    # Drawn by SHA-256 of `street:0:<try>`; a change of these numbers is another benchmark.
    assert corners == [[0, 0, 10, 10], [106, 71, 116, 81]]


def test_a_box_ends_with_its_picture(tmp_path: Path) -> None:
    boxes = [("a", (-5, -3, 8, 9)), ("a", (100, 80, 150, 95))]
    source = coco(tmp_path, coco_file(boxes), background="nothing")
    items = list(source.items())
    assert [item.record["corners"] for item in items[:2]] == [[0, 0, 8, 9], [100, 80, 120, 90]]
    assert [loaded(source, item).shape[:2] for item in items] == [(9, 8), (10, 20), (9, 8), (10, 20)]


@pytest.mark.parametrize("box", [(130, 5, 140, 20), (10, 10, 10, 30), (10, 10, 10.3, 30), (30, 30, 20, 40)])
def test_a_box_without_a_pixel_is_listed_and_has_a_cause(box: tuple[float, ...], tmp_path: Path) -> None:
    source = coco(tmp_path, coco_file([("a", box)]), background="nothing")
    (item,) = source.items()
    assert cause_of(source, item) == ("box has no pixel inside its picture", "data/street.png")


def test_pictures_that_cannot_be_cut_have_a_cause(tmp_path: Path) -> None:
    source = coco(tmp_path, coco_file(CROWD))
    item = next(source.items())
    file = tmp_path / "data/street.png"
    whole = file.read_bytes()
    for data, cause in [
        (picture(1, ".png", (90, 121)), "picture has another size than its annotation says"),
        (whole[: len(whole) // 2], "file is cut short"),
        (b"no picture", "undecodable media"),
        (b"", "empty"),
    ]:
        file.write_bytes(data)
        assert cause in cause_of(source, item)[0]
        assert cause_of(source, item)[1] == "data/street.png"
    file.unlink()
    assert cause_of(source, item) == ("file is missing", "data/street.png")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    tiff = cv2.imencode(".tif", np.full(SIZE, 0.5, np.float32))[1].tobytes()
    put(tmp_path / "data/street.tif", tiff)
    source = coco(tmp_path, coco_file(CROWD), pictures={"infrared": ["data/{stem}.tif"]})
    cause, _ = cause_of(source, next(source.items()), "infrared")
    assert cause == "pixels of type float32 cannot be cut out without loss"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "is not of COCO's form"),
        ({"images": []}, "annotations: Field required"),
        (coco_file(CROWD, annotations=[{"image_id": 7, "category_id": 0, "bbox": [1, 2, 3]}]), r"annotations\.0\.bbox"),
        (coco_file(CROWD, annotations=[{"image_id": 8, "category_id": 0, "bbox": [1, 2, 3, 4]}]), "image 8"),
        (coco_file(CROWD, annotations=[{"image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]}]), "category 9"),
        (coco_file(CROWD, images=[{"id": 7, "file_name": "a.png", "width": 0, "height": 9}]), r"images\.0\.width"),
    ],
)
def test_a_broken_coco_file_is_named(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        list(coco(tmp_path, content).items())
    assert "coco.json" in str(caught.value)


def test_a_missing_annotation_file_and_an_unknown_column_are_named(tmp_path: Path) -> None:
    source = coco(tmp_path, coco_file(CROWD), pictures={"image": ["{folder}/{name}"]})
    with pytest.raises(ConfigError, match="folder"):
        list(source.items())
    (tmp_path / "coco.json").unlink()
    with pytest.raises(ConfigError, match=r"has no coco\.json"):
        list(coco_without_file(tmp_path).items())


def coco_without_file(folder: Path) -> BoxesReader:
    settings = {"kind": "boxes", "form": "coco", "annotations": "coco.json", "pictures": {"image": ["{name}"]}}
    return reader(folder, settings)


def voc(folder: Path) -> BoxesReader:
    pictures = {"infrared": ["infrared/test/{stem}.jpg"], "image": ["visible/test/{name}"]}
    settings = {"kind": "boxes", "form": "voc", "annotations": "Annotations", "pictures": pictures}
    return reader(folder, settings)


def test_voc_files_without_a_picture_of_the_first_modality_are_not_read(tmp_path: Path) -> None:
    miniatures.llvip(tmp_path)
    put(tmp_path / "Annotations/010007.xml", b"not read")
    (tmp_path / "visible/test/190013.jpg").unlink()
    source = voc(tmp_path)
    items = {item.key: item for item in source.items()}
    assert list(items) == ["190001_1", "190001_2", "190013_1", "260052_1"]
    assert items["190001_1"].record["paths"] == {
        "infrared": "infrared/test/190001.jpg",
        "image": "visible/test/190001.jpg",
    }
    assert cause_of(source, items["190013_1"]) == ("file is missing", "visible/test/190013.*")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "no element found"),
        ("<width>128</width>", "", "no size/width"),
        ("<width>128</width>", "<width>0</width>", "0 x 96"),
        ("<xmin>64</xmin>", "<xmin>left</xmin>", "left"),
        ("<xmin>64</xmin>", "<xmin>nan</xmin>", "NaN"),
        ("<name>person</name>", "<name/>", "no name"),
    ],
)
def test_a_broken_voc_file_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    miniatures.llvip(tmp_path)
    file = tmp_path / "Annotations/190013.xml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        list(voc(tmp_path).items())
    assert "190013.xml is not of PASCAL VOC's form" in str(caught.value)


def test_a_folder_without_pictures_of_the_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 xml files"):
        list(voc(tmp_path).items())
    miniatures.llvip(tmp_path)
    source = voc(tmp_path)
    for file in (tmp_path / "infrared/test").iterdir():
        file.unlink()
    with pytest.raises(ConfigError, match="4 xml files, of which none has a picture"):
        list(source.items())
