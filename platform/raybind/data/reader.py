"""From sample numbers to arrays: the one way a sample is read, in training and in evaluation.

Legend: B rows of a batch.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from raybind.config.data import DataConfig
from raybind.data.faults import BadSample
from raybind.data.manifest import SplitIndex
from raybind.data.order import sample_generator
from raybind.data.sample import MediaFile, SampleMetadata
from raybind.data.shard_cache import ShardCache
from raybind.data.shard_reader import read_sample
from raybind.data.text_cache import TextCache
from raybind.data.texts import all_texts, present_texts, texts_of, view_of
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape

MAX_PARALLEL_READS = 8
"""Samples fetched ahead of decoding. Threads wait for the network; beside decoding itself they would hinder it."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class DecodedSample:
    """A sample ready for the encoders."""

    metadata: SampleMetadata
    pixel_values: np.ndarray
    """(3, H, W) float32, (3, T, H, W) with frames: the encoder's input; in training what `Modality.prepare` makes."""
    texts: tuple[str, ...]
    """Texts of equal standing for what is shown; in evaluation there may be none."""
    text: int
    """Which of them the sample is paired with in this epoch."""
    text_embedding: np.ndarray | None = None
    """(E,) float32 of that text, where a cache was asked for it."""


@dataclass(frozen=True)
class _View:
    """What is fetched of a sample: one of its files, not yet decoded, and the texts of what it shows."""

    number: int
    epoch: int | None
    metadata: SampleMetadata
    file: MediaFile
    texts: tuple[str, ...]
    text: int
    text_embedding: np.ndarray | None


@dataclass(frozen=True)
class SampleReader:
    """Reads, decodes and transforms samples of one split."""

    index: SplitIndex
    config: DataConfig
    shape: InputShape
    """What the encoder is fed."""
    seed: int
    text_cache: TextCache | None = None
    """Where the embeddings of the texts that are trained on come from; None leaves them to the language encoder."""
    shard_cache: ShardCache | None = None
    """Where copies of whole shards are kept; None asks the data set's storage for every sample."""

    def read(self, number: int, epoch: int | None, on_retry: Callable[[], None] | None = None) -> DecodedSample:
        """Read one sample.

        Args:
            epoch: draws the key frame and the caption from (seed, epoch, number); None takes the middle key frame and
                the first caption, always the same (evaluation).
            on_retry: called before each further try of a read that failed.
        Raises: DataError: the sample cannot be read; names shard, id and cause.
        """
        return self._decode(self._fetch(number, epoch, on_retry), get_modality(self.config.modality).transform)

    def read_many(self, numbers: Sequence[int]) -> list[DecodedSample]:
        """Read samples for evaluation; one may be without text. Raises: DataError: the first that cannot be read."""
        transform = get_modality(self.config.modality).transform
        return [self._decode(_good(view), transform) for view in self._fetch_ahead(numbers, None, lambda _: None)]

    def read_batch(self, numbers: Sequence[int], epoch: int, size: int | None = None) -> Arrays:
        """Read samples for training; one that cannot be read stays in place, marked with its fault.

        Args:
            size: rows to make, B, those beyond the samples padding; None: as many as samples.
        Returns: arrays of length B: `padding` bool; `number` int64; `id` and `shard` str; `retries` int64, reads that
            were tried again; `fault` str, the cause, empty where the sample is good; `fault_detail` str; `text` str;
            `prepared` float32, (B, *prepared_shape), what `Modality.normalise` makes the encoder's input of; with a
            text cache `text_embedding` (B, E) float32.
        """
        size = len(numbers) if size is None else size
        retries: deque[int] = deque()
        prepared = np.zeros((size, *prepared_shape(self.config, self.shape)), dtype=np.float32)
        results: list[DecodedSample | DataError] = []
        for place, view in enumerate(self._fetch_ahead(numbers, epoch, retries.append)):
            result = self._try_decode(view)
            if isinstance(result, DecodedSample):
                prepared[place] = result.pixel_values
                result = replace(result, pixel_values=prepared[place])
            results.append(result)
        decoded = [result if isinstance(result, DecodedSample) else None for result in results]
        shards, texts, faults, details = (
            np.asarray(column, dtype=str)
            for column in (
                [self.index.shard_name(number) for number in numbers],
                [sample.texts[sample.text] if sample else "" for sample in decoded],
                [result.cause if isinstance(result, DataError) else "" for result in results],
                [str(result) if isinstance(result, DataError) else "" for result in results],
            )
        )
        arrays = {
            "padding": np.arange(size) >= len(numbers),
            "number": np.asarray(numbers, dtype=np.int64),
            "id": self.index.ids[np.asarray(numbers, dtype=np.int64)],
            "shard": shards,
            "retries": np.asarray([retries.count(number) for number in numbers], dtype=np.int64),
            "fault": faults,
            "fault_detail": details,
            "text": texts,
            "prepared": prepared,
        }
        if self.text_cache is not None:
            arrays["text_embedding"] = np.zeros((size, self.text_cache.record.embedding_dim), dtype=np.float32)
            for place, sample in enumerate(decoded):
                if sample is not None:
                    arrays["text_embedding"][place] = sample.text_embedding
        return {name: _filled_up(array, size) for name, array in arrays.items()}

    def _fetch(self, number: int, epoch: int | None, on_retry: Callable[[], None] | None) -> _View:
        metadata, media = read_sample(self.index, number, on_retry, self.shard_cache)
        generator = None if epoch is None else sample_generator(self.seed, epoch, number, "view")
        frame, file = choose_frame(media, None if generator is None else int(generator.integers(len(media))))
        with self._naming(number):
            view = view_of(metadata.texts, self.config.text_source, generator)
            if generator is None:
                texts, text = present_texts(metadata.texts, view, frame), 0
            else:
                texts = texts_of(metadata.texts, view, frame)
                text = int(generator.integers(len(texts)))
            embedding = None
            if self.text_cache is not None and epoch is not None:
                embedding = self.text_cache.read(number, all_texts(metadata.texts).index(texts[text]), texts[text])
        return _View(number, epoch, metadata, file, texts, text, embedding)

    def _decode(self, view: _View, read: Callable[..., np.ndarray]) -> DecodedSample:
        generator = None if view.epoch is None else sample_generator(self.seed, view.epoch, view.number, "pixels")
        with self._naming(view.number):
            pixel_values = read(view.file.data, self.shape, self.config.preprocess, generator)
        return DecodedSample(view.metadata, pixel_values, view.texts, view.text, view.text_embedding)

    def _try_decode(self, view: _View | DataError) -> DecodedSample | DataError:
        try:
            return self._decode(_good(view), get_modality(self.config.modality).decode_and_prepare)
        except DataError as error:
            return error

    def _fetch_ahead(
        self, numbers: Sequence[int], epoch: int | None, on_retry: Callable[[int], None]
    ) -> Iterator[_View | DataError]:
        """The views of samples, in their order; those from object storage `MAX_PARALLEL_READS` ahead of decoding."""

        def fetch(number: int) -> _View | DataError:
            try:
                return self._fetch(number, epoch, partial(on_retry, number))
            except DataError as error:
                return error

        if self.shard_cache is not None:
            self.shard_cache.fill(self.index, {int(self.index.shard[number]) for number in numbers})
        if self.index.storage.is_local or (self.shard_cache is not None and self.text_cache is None):
            yield from map(fetch, numbers)
            return
        with ThreadPoolExecutor(MAX_PARALLEL_READS) as pool:
            ahead: deque[Future[_View | DataError]] = deque()
            for number in numbers:
                ahead.append(pool.submit(fetch, number))
                if len(ahead) > MAX_PARALLEL_READS:
                    yield ahead.popleft().result()
            yield from (fetched.result() for fetched in ahead)

    @contextmanager
    def _naming(self, number: int) -> Iterator[None]:
        """Puts shard and id before the message of an error."""
        try:
            yield
        except DataError as error:
            shard = self.index.shard_name(number)
            raise DataError(f"{shard}: sample {self.index.ids[number]}: {error}", error.cause) from None


def _filled_up(array: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array


def _good(view: _View | DataError) -> _View:
    if isinstance(view, DataError):
        raise view
    return view


def prepared_shape(config: DataConfig, shape: InputShape) -> tuple[int, ...]:
    """Of one sample for training, as readers send it."""
    return (get_modality(config.modality).prepared_channels, *shape.array[1:])


def sample_ids(arrays: Arrays) -> list[str]:
    """Of a batch, without its padding."""
    return arrays["id"][~arrays["padding"]].tolist()


def bad_samples(arrays: Arrays) -> list[BadSample]:
    """Those of a batch that could not be read."""
    columns = [arrays[name].tolist() for name in ("shard", "id", "fault", "fault_detail")]
    return [BadSample(*row) for row in zip(*columns, strict=True) if row[2]]


def choose_frame(media: Sequence[MediaFile], place: int | None) -> tuple[int | None, MediaFile]:
    """A key frame of depth or infrared (LanguageBind, Appendix B: a random one); other modalities have one file.

    Args:
        place: which of the files; None takes the middle one.
    Returns: the key frame's number, None where there are none, and the file.
    """
    file = media[len(media) // 2 if place is None else place]
    number = file.suffix.split(".")[0]
    return (int(number) if number.isdigit() else None), file
