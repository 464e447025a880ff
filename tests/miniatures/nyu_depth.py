"""A miniature of NYU Depth V2."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

from tests.miniatures.base import Expected, ExpectedItem

_SCENES = ("basement_0001a", "kitchen_0003", "office_kitchen_0001a", "bedroom_0052", "living_room_0012", "study_0004")
_TYPES = ("basement", "kitchen", "office_kitchen", "bedroom", "living_room", "study")
_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Oct  4 18:03:52 2012 HDF5 schema 1.00 ."
_USER_BLOCK = 512
_HEIGHT, _WIDTH = 48, 64


def nyu_d(folder: Path) -> Expected:
    """NYU Depth V2's labelled part, and its split.

    Format: how TUI-NICR/nicr-scene-analysis-datasets reads the two files (datasets/nyuv2/prepare_dataset.py: reversed
    axes, depth in metres, scene types as references to character codes, numbers of the split from 1) and which scene
    types there are (datasets/nyuv2/nyuv2.py); the frame of a MATLAB 7.3 file, a user block of 512 bytes before HDF5.
    """
    write_labelled(folder / "nyu_depth_v2_labeled.mat", _TYPES, _SCENES)
    write_split(folder / "splits.mat", train=[1, 4], test=[2, 3, 5, 6])
    classes = {2: "kitchen", 3: "others", 5: "living room", 6: "others"}
    return {f"nyu_{number:04d}": ExpectedItem(("image", "depth"), classes=(name,)) for number, name in classes.items()}


def write_labelled(file: Path, types: tuple[str, ...], scenes: tuple[str, ...]) -> None:
    """The MATLAB 7.3 file, of as many pictures as there are scene types."""
    images = np.stack([pixels(number) for number in range(1, len(types) + 1)])
    depths = np.stack([metres(number) for number in range(1, len(types) + 1)])
    with h5py.File(file, "w", userblock_size=_USER_BLOCK) as mat:
        _put_array(mat, "images", images.transpose(0, 3, 2, 1), "uint8")
        _put_array(mat, "depths", depths.transpose(0, 2, 1), "single")
        _put_array(mat, "rawDepths", np.zeros_like(depths).transpose(0, 2, 1), "single")
        _put_cells(mat, "sceneTypes", types)
        _put_cells(mat, "scenes", scenes)
    with file.open("r+b") as mat:
        mat.write(_HEADER.ljust(116) + bytes(8) + b"\x00\x02IM")


def write_split(file: Path, train: list[int], test: list[int]) -> None:
    """The MATLAB 5 file, of columns."""
    numbers = {"trainNdxs": train, "testNdxs": test}
    scipy.io.savemat(file, {name: np.array(values, dtype=np.uint16)[:, None] for name, values in numbers.items()})


def pixels(number: int) -> np.ndarray:
    """The RGB picture of a number."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_NEAREST)


def metres(number: int) -> np.ndarray:
    """The depth of a number, between 0.7 and 10 m."""
    coarse = np.random.default_rng(number).uniform(0.7, 10, (6, 8)).astype(np.float32)
    return cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_NEAREST)


def _put_array(mat: h5py.File, name: str, values: np.ndarray, matlab_class: str) -> None:
    array = mat.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), compression="gzip")
    array.attrs["MATLAB_class"] = np.bytes_(matlab_class)


def _put_cells(mat: h5py.File, name: str, texts: tuple[str, ...]) -> None:
    """A column of texts: references to arrays of character codes."""
    references = mat.create_dataset(name, (1, len(texts)), dtype=h5py.ref_dtype)
    references.attrs["MATLAB_class"] = np.bytes_("cell")
    for place, text in enumerate(texts):
        codes = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
        cell = mat.create_dataset(f"#refs#/{name}_{place}", data=codes)
        cell.attrs["MATLAB_class"], cell.attrs["MATLAB_int_decode"] = np.bytes_("char"), np.int32(2)
        references[0, place] = cell.ref
