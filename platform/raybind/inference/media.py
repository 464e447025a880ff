"""Media of one modality, read and transformed in batches by a few threads while the encoder works."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Modality
from raybind.model.input_shape import InputShape

Media = str | os.PathLike[str] | bytes | np.ndarray
"""Path of a file, its bytes, or an array as the modality's `decode` returns it."""

MAX_THREADS = 8
_BATCHES_AHEAD = 1


class MediaReader:
    """From media to an encoder's input; the transform of training and evaluation, and nothing is drawn."""

    def __init__(self, modality: Modality, shape: InputShape, config: PreprocessConfig) -> None:
        self._modality, self._shape, self._config = modality, shape, config

    def batches(self, media: Iterable[Media], batch_size: int) -> Iterator[list[np.ndarray | DataError]]:
        """One batch after the other, in order; an item that cannot be read is its error, which names it."""
        numbered = enumerate(media)
        ahead: deque[list[Future[np.ndarray | DataError]]] = deque()
        with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            while chunk := list(islice(numbered, batch_size)):
                ahead.append([pool.submit(self._transformed, number, item) for number, item in chunk])
                if len(ahead) > _BATCHES_AHEAD:
                    yield [future.result() for future in ahead.popleft()]
            for futures in ahead:
                yield [future.result() for future in futures]

    def _transformed(self, number: int, item: Media) -> np.ndarray | DataError:
        try:
            return self._modality.transform(_read(item), self._shape, self._config)
        except DataError as error:
            return DataError(f"{self._modality.name} {name_of(number, item)}: {error}", error.cause)


def name_of(number: int, item: Media) -> str:
    """How an item is called in errors: its path, or its place and what it is."""
    if isinstance(item, bytes | np.ndarray):
        kind = f"{len(item)} bytes" if isinstance(item, bytes) else f"array of shape {item.shape}"
        return f"at place {number} ({kind})"
    return os.fspath(item)


def _read(item: Media) -> bytes | np.ndarray:
    if isinstance(item, bytes | np.ndarray):
        return item
    try:
        return Path(item).read_bytes()
    except OSError as error:
        raise DataError(error.strerror or str(error), cause="file cannot be read") from None
