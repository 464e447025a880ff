"""From sample numbers to arrays: the one way a sample is read, in training and in evaluation.

Legend: B samples of a micro-batch.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from raybind.config.data import DataConfig
from raybind.data.faults import BadSample
from raybind.data.manifest import SplitIndex
from raybind.data.order import sample_generator
from raybind.data.sample import MediaFile, SampleMetadata
from raybind.data.shard_reader import read_sample
from raybind.data.text_cache import TextCache
from raybind.data.texts import all_texts, texts_of, view_of
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape

MAX_PARALLEL_READS = 8
"""Range requests in flight per micro-batch; they wait for the network, not for a CPU."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class DecodedSample:
    """A sample ready for the encoders."""

    metadata: SampleMetadata
    pixel_values: np.ndarray
    """(3, H, W) float32; (3, T, H, W) with frames."""
    texts: tuple[str, ...]
    """Texts of equal standing for what is shown."""
    text: int
    """Which of them the sample is paired with in this epoch."""
    text_embedding: np.ndarray | None = None
    """(E,) float32 of that text, where a cache was asked for it."""


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

    def read(self, number: int, epoch: int | None, on_retry: Callable[[], None] | None = None) -> DecodedSample:
        """Read one sample.

        Args:
            epoch: draws the key frame and the caption from (seed, epoch, number); None takes the middle key frame and
                the first caption, always the same (evaluation).
            on_retry: called before each further try of a read that failed.
        Raises: DataError: the sample cannot be read; names shard, id and cause.
        """
        metadata, media = read_sample(self.index, number, on_retry)
        generator = None if epoch is None else sample_generator(self.seed, epoch, number, "view")
        frame, file = choose_frame(media, None if generator is None else int(generator.integers(len(media))))
        modality = get_modality(self.config.modality)
        try:
            view = view_of(metadata.texts, self.config.text_source, generator)
            texts = texts_of(metadata.texts, view, frame)
            pixel_values = modality.transform(file.data, self.shape, self.config.preprocess, generator)
            text = int(generator.integers(len(texts))) if generator is not None else 0
            embedding = None if epoch is None else self._embedding(number, metadata, texts[text])
        except DataError as error:
            shard = self.index.shard_names[self.index.shard[number]]
            raise DataError(f"{shard}: sample {metadata.id}: {error}", error.cause) from None
        return DecodedSample(metadata, pixel_values, texts, text, embedding)

    def _embedding(self, number: int, metadata: SampleMetadata, text: str) -> np.ndarray | None:
        if self.text_cache is None:
            return None
        return self.text_cache.read(number, all_texts(metadata.texts).index(text), text)

    def read_many(self, numbers: Sequence[int]) -> list[DecodedSample]:
        """Read samples for evaluation. Raises: DataError: the first that cannot be read."""
        with ThreadPoolExecutor(MAX_PARALLEL_READS) as pool:
            return list(pool.map(lambda number: self.read(number, None), numbers))

    def read_micro_batch(self, numbers: Sequence[int], epoch: int) -> Arrays:
        """Read a micro-batch for training; a sample that cannot be read stays in place, marked with its fault.

        Returns: arrays of length B: `number` int64; `id` and `shard` str; `retries` int64, reads that were tried again;
            `fault` str, the cause, empty where the sample is good; `fault_detail` str; `text` str; `pixel_values`
            (B, *shape.array) float32; with a text cache `text_embedding` (B, E) float32.
        """
        retries: deque[int] = deque()
        with ThreadPoolExecutor(MAX_PARALLEL_READS) as pool:
            results = list(pool.map(lambda n: self._try_read(n, epoch, lambda: retries.append(n)), numbers))
        blank = np.zeros(self.shape.array, dtype=np.float32)
        decoded = [result if isinstance(result, DecodedSample) else None for result in results]
        arrays = {
            "number": np.asarray(numbers, dtype=np.int64),
            "id": self.index.ids[np.asarray(numbers, dtype=np.int64)],
            "shard": np.asarray([self.index.shard_names[self.index.shard[number]] for number in numbers]),
            "retries": np.asarray([retries.count(number) for number in numbers]),
            "fault": np.asarray([result.cause if isinstance(result, DataError) else "" for result in results]),
            "fault_detail": np.asarray([str(result) if isinstance(result, DataError) else "" for result in results]),
            "text": np.asarray([sample.texts[sample.text] if sample else "" for sample in decoded]),
            "pixel_values": np.stack([sample.pixel_values if sample else blank for sample in decoded]),
        }
        if self.text_cache is not None:
            no_text = np.zeros(self.text_cache.record.embedding_dim, dtype=np.float32)
            embeddings = [sample.text_embedding if sample else None for sample in decoded]
            arrays["text_embedding"] = np.stack([no_text if found is None else found for found in embeddings])
        return arrays

    def _try_read(self, number: int, epoch: int, on_retry: Callable[[], None]) -> DecodedSample | DataError:
        try:
            return self.read(number, epoch, on_retry)
        except DataError as error:
            return error


def bad_samples(arrays: Arrays) -> list[BadSample]:
    """Those of a micro-batch that could not be read."""
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
