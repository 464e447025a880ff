"""NYU Depth V2's labelled part: pictures, depth and scene types in one MATLAB 7.3 file, and the split in another file.

A MATLAB 7.3 file is an HDF5 file in which MATLAB's axes stand in reverse order: a picture of 480 x 640 pixels is an
array of (3, 640, 480). Pictures are numbered from 1, as the split numbers them. One is read at a time, by the ranges of
the file that hold it.
"""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import h5py
import numpy as np
import scipy.io

from raybind.config.benchmark_source import NyuDepthFormat
from raybind.construction.benchmarks.base import ListedItem
from raybind.data.media_headers import has_key_frames
from raybind.data.sample import MediaFile, UnpackableSample
from raybind.data.storage import Storage
from raybind.errors import ConfigError

_ARRAYS = {"image": "images", "depth": "depths"}
"""By modality. `depths` is in metres, with its gaps filled; `rawDepths` would be what the sensor saw."""
_SCENE_TYPES = "sceneTypes"
_AXES = {"images": 4, "depths": 3, _SCENE_TYPES: 2}
_BUFFER_BYTES = 64 << 10
_DAMAGED_HDF5 = (OSError, KeyError, ValueError, TypeError, RuntimeError)
_DAMAGED_MATLAB_5 = (OSError, ValueError, TypeError, NotImplementedError, zlib.error, scipy.io.matlab.MatReadError)


@dataclass(frozen=True)
class NyuDepthReader:
    """Reads the two files."""

    storage: Storage
    format: NyuDepthFormat

    def items(self) -> Iterator[ListedItem]:
        """See `BenchmarkReader`: the pictures of the split, in its order, with their scene types as classes."""
        numbers = self._split()
        for number, scene in zip(numbers, self._scene_types(numbers), strict=True):
            yield ListedItem(f"nyu_{number:04d}", tuple(_ARRAYS), classes=(scene,), record={"number": number})

    def load(self, record: dict[str, Any], modality: str) -> tuple[MediaFile, ...]:
        """See `BenchmarkReader`; both modalities are png files, depth in millimetres."""
        try:
            with _opened(self.storage, self.format.file) as file:
                pixels = _array(file, _ARRAYS[modality])[record["number"] - 1].T
        except FileNotFoundError:
            raise UnpackableSample("file is missing", self.format.file) from None
        except _DamagedFile:
            raise UnpackableSample("picture cannot be read", f"{self.format.file}, {record['number']}") from None
        stored = _millimetres(pixels) if modality == "depth" else pixels[..., ::-1]
        data = cv2.imencode(".png", stored)[1].tobytes()
        return (MediaFile("0.png" if has_key_frames(modality) else "png", data),)

    def _split(self) -> list[int]:
        file, name = self.format.split_file, self.format.split_name
        try:
            content = io.BytesIO(self.storage.read(file))
        except FileNotFoundError:
            raise self._missing(file) from None
        try:
            return [int(number) for number in scipy.io.loadmat(content)[name].ravel()]
        except KeyError:
            raise ConfigError(f"{self.storage.root}/{file} has no {name}") from None
        except _DAMAGED_MATLAB_5 as error:
            raise ConfigError(f"{self.storage.root}/{file} is not a MATLAB 5 file of numbers: {error}") from None

    def _scene_types(self, numbers: list[int]) -> list[str]:
        try:
            with _opened(self.storage, self.format.file) as file:
                self._check_numbers(numbers, _num_pictures(file))
                references = _array(file, _SCENE_TYPES)[0]
                return [_text(_array(file, references[number - 1])) for number in numbers]
        except FileNotFoundError:
            raise self._missing(self.format.file) from None
        except _DamagedFile as error:
            raise ConfigError(f"{self.storage.root}/{self.format.file} is not as it is published: {error}") from None

    def _check_numbers(self, numbers: list[int], there: int) -> None:
        beyond = [number for number in numbers if not 1 <= number <= there]
        if beyond:
            raise ConfigError(
                f"{self.storage.root}/{self.format.split_file} names picture {beyond[0]}; {self.format.file} has 1 to "
                f"{there}"
            )

    def _missing(self, file: str) -> ConfigError:
        return ConfigError(f"{self.storage.root} has no {file}")


class _DamagedFile(Exception):
    """Not a whole HDF5 file, or without what is read of it."""


@contextmanager
def _opened(storage: Storage, key: str) -> Iterator[h5py.File]:
    """Raises: FileNotFoundError; _DamagedFile, also while it is open; OSError: the storage does not answer."""
    try:
        with io.BufferedReader(_StoredFile(storage, key), _BUFFER_BYTES) as stored, h5py.File(stored, "r") as file:
            yield file
    except FileNotFoundError:
        raise
    except _DAMAGED_HDF5 as error:
        # HDF5 makes no difference between bytes that are wrong and bytes that do not come; asking the storage does.
        storage.exists(key)
        raise _DamagedFile(str(error)) from None


def _num_pictures(file: h5py.File) -> int:
    """Raises: ValueError: the arrays are not of as many pictures."""
    shapes = {name: _array(file, name).shape for name in _AXES}
    counts = {shape[-1 if name == _SCENE_TYPES else 0] for name, shape in shapes.items()}
    if len(counts) > 1 or any(len(shapes[name]) != axes for name, axes in _AXES.items()):
        raise ValueError(f"its arrays have the shapes {shapes}")
    return counts.pop()


def _array(file: h5py.File, name: Any) -> h5py.Dataset:
    """The array of a name, or that a reference points to. Raises: TypeError: it is none; KeyError: there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise TypeError(f"{name} is not an array")
    return found


def _text(codes: h5py.Dataset) -> str:
    """MATLAB text: an array of UTF-16 codes."""
    return "".join(chr(code) for code in codes[()].ravel())


def _millimetres(metres: np.ndarray) -> np.ndarray:
    """16 bits, 0 where there is no depth."""
    limits = np.iinfo(np.uint16)
    return np.rint(np.nan_to_num(metres, nan=0.0) * 1000).clip(limits.min, limits.max).astype(np.uint16)


class _StoredFile(io.RawIOBase):
    """An object in storage as a file to read, with the patience that `Storage` has."""

    def __init__(self, storage: Storage, key: str) -> None:
        super().__init__()
        self._storage, self._key, self._place = storage, key, 0
        with storage.filesystem.open_input_file(f"{storage.root}/{key}") as file:
            self._size = file.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(self._size - self._place, 0))
        data = self._storage.read_range(self._key, self._place, length)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place
