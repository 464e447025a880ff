"""NYU Depth V2 is read picture by picture out of its MATLAB files; what is damaged is named."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from raybind.config.base import load_config
from raybind.config.benchmark import BenchmarkConfig
from raybind.config.benchmark_source import NyuDepthFormat
from raybind.construction.benchmarks.nyu_depth import NyuDepthReader
from raybind.data.media_headers import check_media
from raybind.data.sample import UnpackableSample
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from tests.miniatures.nyu_depth import metres, nyu_d, pixels, write_split

BENCHMARK = Path(__file__).parents[3] / "platform/raybind/evaluation/benchmarks/nyu_d.yaml"
LABELLED, SPLIT = "nyu_depth_v2_labeled.mat", "splits.mat"


def reader(folder: Path, **settings: object) -> NyuDepthReader:
    return NyuDepthReader(open_storage(str(folder)), NyuDepthFormat.model_validate({"kind": "nyu_depth", **settings}))


def loaded(source: NyuDepthReader, number: int, modality: str) -> np.ndarray:
    (file,) = source.load({"number": number}, modality)
    check_media(modality, [file])
    found = np.asarray(cv2.imdecode(np.frombuffer(file.data, np.uint8), cv2.IMREAD_UNCHANGED))
    return found[..., ::-1] if found.ndim == 3 else found


def test_miniature_is_read_as_expected(tmp_path: Path) -> None:
    expected = nyu_d(tmp_path)
    config = load_config(BenchmarkConfig, BENCHMARK)
    assert isinstance(config.source, NyuDepthFormat)
    source = pickle.loads(pickle.dumps(NyuDepthReader(open_storage(str(tmp_path)), config.source)))  # noqa: S301
    items = list(source.items())
    assert [item.key for item in items] == list(expected)
    for item in items:
        assert item.modalities == expected[item.key].modalities
        phrases = tuple(config.classes.names.get(name, config.classes.others) for name in item.classes)
        assert phrases == expected[item.key].classes
        assert json.loads(json.dumps(item.record)) == item.record
    assert [item.classes[0] for item in items] == ["kitchen", "office_kitchen", "living_room", "study"]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_pictures_and_millimetres_are_those_of_their_number(number: int, tmp_path: Path) -> None:
    nyu_d(tmp_path)
    source = reader(tmp_path)
    assert np.array_equal(loaded(source, number, "image"), pixels(number))
    depth = loaded(source, number, "depth")
    assert depth.dtype == np.uint16
    assert np.array_equal(depth, np.rint(metres(number) * 1000))


def test_missing_and_far_depth_stay_within_16_bits(tmp_path: Path) -> None:
    nyu_d(tmp_path)
    with h5py.File(tmp_path / LABELLED, "r+") as file:
        depths = file["depths"]
        assert isinstance(depths, h5py.Dataset)
        depths[1, :4, 0] = [np.nan, -1, 70, 0.0004]
    assert loaded(reader(tmp_path), 2, "depth")[0, :4].tolist() == [0, 0, 65535, 0]


def test_the_other_split_can_be_read(tmp_path: Path) -> None:
    nyu_d(tmp_path)
    source = reader(tmp_path, split_name="trainNdxs")
    assert [item.key for item in source.items()] == ["nyu_0001", "nyu_0004"]


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no splits\.mat"):
        list(reader(tmp_path).items())
    write_split(tmp_path / SPLIT, train=[1], test=[2])
    with pytest.raises(ConfigError, match=r"has no nyu_depth_v2_labeled\.mat"):
        list(reader(tmp_path).items())
    with pytest.raises(UnpackableSample) as caught:
        reader(tmp_path).load({"number": 2}, "depth")
    assert (caught.value.cause, caught.value.file) == ("file is missing", LABELLED)


@pytest.mark.parametrize("number", [0, 7])
def test_a_number_beyond_the_file_is_named(number: int, tmp_path: Path) -> None:
    nyu_d(tmp_path)
    write_split(tmp_path / SPLIT, train=[1], test=[2, number])
    with pytest.raises(ConfigError, match=f"names picture {number}; .* has 1 to 6"):
        list(reader(tmp_path).items())


def test_a_split_of_another_form_is_named(tmp_path: Path) -> None:
    nyu_d(tmp_path)
    file = tmp_path / SPLIT
    whole = file.read_bytes()
    for damaged in (b"", b"1, 2, 3", whole[:150], whole[:-20], (tmp_path / LABELLED).read_bytes()):
        file.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"splits\.mat is not a MATLAB 5 file"):
            list(reader(tmp_path).items())
    scipy.io.savemat(file, {"trainNdxs": [[1]]})
    with pytest.raises(ConfigError, match=r"splits\.mat has no testNdxs"):
        list(reader(tmp_path).items())
    scipy.io.savemat(file, {"testNdxs": [["two"]]})
    with pytest.raises(ConfigError, match=r"splits\.mat is not a MATLAB 5 file of numbers"):
        list(reader(tmp_path).items())


def without_depths(file: h5py.File) -> None:
    del file["depths"]


def with_fewer_scene_types(file: h5py.File) -> None:
    whole = file["sceneTypes"]
    assert isinstance(whole, h5py.Dataset)
    references = whole[:, :5]
    del file["sceneTypes"]
    file["sceneTypes"] = references


def with_scene_types_of_another_form(file: h5py.File) -> None:
    del file["sceneTypes"]
    file["sceneTypes"] = np.zeros((1, 6))


@pytest.mark.parametrize("change", [without_depths, with_fewer_scene_types, with_scene_types_of_another_form])
def test_arrays_that_are_not_as_published_are_named(change: Callable[[h5py.File], None], tmp_path: Path) -> None:
    nyu_d(tmp_path)
    with h5py.File(tmp_path / LABELLED, "r+") as file:
        change(file)
    with pytest.raises(ConfigError, match=r"nyu_depth_v2_labeled\.mat is not as it is published"):
        list(reader(tmp_path).items())


@pytest.mark.parametrize("part", [0, 0.02, 0.9])
def test_a_file_cut_short_is_named(part: float, tmp_path: Path) -> None:
    nyu_d(tmp_path)
    file = tmp_path / LABELLED
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ConfigError, match="is not as it is published"):
        list(reader(tmp_path).items())
    with pytest.raises(UnpackableSample) as caught:
        reader(tmp_path).load({"number": 2}, "image")
    assert (caught.value.cause, caught.value.file) == ("picture cannot be read", f"{LABELLED}, 2")


def test_a_damaged_picture_leaves_the_others_readable(tmp_path: Path) -> None:
    nyu_d(tmp_path)
    with h5py.File(tmp_path / LABELLED, "r") as file:
        chunk = file["images"].id.get_chunk_info_by_coord((2, 0, 0, 0))
    with (tmp_path / LABELLED).open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * chunk.size)
    source = reader(tmp_path)
    with pytest.raises(UnpackableSample, match="picture cannot be read"):
        source.load({"number": 3}, "image")
    assert np.array_equal(loaded(source, 2, "image"), pixels(2))
    assert loaded(source, 3, "depth").any()


def test_storage_that_does_not_answer_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nyu_d(tmp_path)

    def no_answer(*_: object) -> bytes:
        raise OSError("no answer")

    monkeypatch.setattr(Storage, "read_range", no_answer)
    monkeypatch.setattr(Storage, "exists", no_answer)
    with pytest.raises(OSError, match="no answer"):
        list(reader(tmp_path).items())
    with pytest.raises(OSError, match="no answer"):
        reader(tmp_path).load({"number": 2}, "depth")
