"""Reading one sample back by its place in the index: one range request, checked before anything is decoded.

In the flow: `read_sample` sits between the object store and the modality's decoder. Order, batching and what happens
after an error belong to others.
"""

import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from raybind.data.manifest import SplitIndex
from raybind.data.sample import MediaFile, SampleMetadata
from raybind.data.shard_cache import ShardCache
from raybind.errors import DataError

MAX_PARALLEL_READS = 32
"""Requests in flight; they wait for the network, not for a CPU."""
_TRIES_OF_WRONG_BYTES = 4
_HEAD_BYTES = 8192
"""Enough for nearly every sample's json and its tar header."""


def read_sample(
    index: SplitIndex, i: int, on_retry: Callable[[], None] | None = None, cache: ShardCache | None = None
) -> tuple[SampleMetadata, tuple[MediaFile, ...]]:
    """Read sample `i` of a split.

    Bytes from object storage that are too few or wrong are read again before they are believed.

    Args:
        on_retry: called before each further try.
        cache: where copies of whole shards are kept.
    Returns: its metadata and its media members in the order of the shard.
    Raises:
        DataError: the shard is missing or ends early, the bytes do not match their CRC-32, or they are not the sample
            that the index names; the message has shard, id and cause.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(_WrongBytes),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        stop=stop_after_attempt(1 if index.storage.is_local else _TRIES_OF_WRONG_BYTES),
        before_sleep=lambda _: on_retry() if on_retry else None,
        reraise=True,
    )
    try:
        return _parse(str(index.ids[i]), attempts(_read_bytes, index, i, on_retry, cache))
    except _Damage as damage:
        shard = f"{index.storage.root}/{index.shard_name(i)}"
        raise DataError(f"{shard}: sample {index.ids[i]}: {damage}", damage.cause) from None


def read_metadata(index: SplitIndex, i: int) -> SampleMetadata:
    """Read what is said of sample `i`, without its media; what is read is not checked against the CRC-32.

    Raises: DataError: as `read_sample`.
    """
    name, offset, length = index.shard_name(i), int(index.offset[i]), int(index.length[i])
    try:
        head = index.storage.read_range(name, offset, min(length, _HEAD_BYTES))
        size = tarfile.BLOCKSIZE + tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "strict").size
        if size > len(head):
            head = index.storage.read_range(name, offset, size)
        return SampleMetadata.model_validate_json(head[tarfile.BLOCKSIZE : size])
    except (FileNotFoundError, tarfile.TarError, ValidationError) as error:
        shard = f"{index.storage.root}/{name}"
        raise DataError(f"{shard}: sample {index.ids[i]}: its json cannot be read: {error}") from None


def read_many_metadata(index: SplitIndex, numbers: Iterable[int]) -> list[SampleMetadata]:
    """`read_metadata` of samples, many requests at a time."""
    with ThreadPoolExecutor(MAX_PARALLEL_READS) as pool:
        return list(pool.map(lambda number: read_metadata(index, number), numbers))


class _Damage(Exception):
    """What is wrong with the bytes of a sample."""

    def __init__(self, message: str, cause: str = "damaged sample") -> None:
        super().__init__(message)
        self.cause = cause


class _WrongBytes(_Damage):
    """Bytes that may be right at the next try."""


def _read_bytes(index: SplitIndex, i: int, on_retry: Callable[[], None] | None, cache: ShardCache | None) -> bytes:
    name, length = index.shard_name(i), int(index.length[i])
    try:
        if cache is None:
            data = index.storage.read_range(name, int(index.offset[i]), length, on_retry)
        else:
            data = cache.read_range(index, int(index.shard[i]), int(index.offset[i]), length, on_retry)
    except FileNotFoundError:
        raise _Damage("the shard is missing; pack it again", cause="shard is missing") from None
    if len(data) < length:
        raise _WrongBytes(
            f"the shard ends after {len(data)} of the sample's {length} bytes; pack it again",
            cause="shard is cut short",
        )
    crc32 = zlib.crc32(data)
    if crc32 != index.crc32[i]:
        raise _WrongBytes(
            f"CRC-32 is {crc32:08x}, the index has {index.crc32[i]:08x}: damaged or replaced; pack it again",
            cause="checksum differs",
        )
    return data


def _parse(sample_id: str, data: bytes) -> tuple[SampleMetadata, tuple[MediaFile, ...]]:
    members = _members(data)
    keys = {key for key, _, _ in members}
    if keys != {sample_id}:
        raise _Damage(f"its bytes hold the samples {sorted(keys)}")
    if members[0][1] != "json":
        raise _Damage(f"its first member is {members[0][1]!r}, not its json")
    try:
        metadata = SampleMetadata.model_validate_json(members[0][2])
    except ValidationError as error:
        raise _Damage(f"its json is not sample metadata: {error}") from None
    if metadata.id != sample_id:
        raise _Damage(f"its json has the id {metadata.id!r}")
    return metadata, tuple(MediaFile(suffix, content) for _, suffix, content in members[1:])


def _members(data: bytes) -> list[tuple[str, str, bytes]]:
    """Key, suffix and content of each tar member."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            found = [(info.name, tar.extractfile(info)) for info in tar.getmembers()]
            named = [(name.partition("."), stream.read()) for name, stream in found if stream is not None]
    except tarfile.TarError as error:
        raise _Damage(f"its bytes are not tar members: {error}") from None
    return [(key, suffix, content) for (key, _, suffix), content in named]
