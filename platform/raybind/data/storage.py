"""Files on a local path or in object storage, by one code path: pyarrow's filesystems.

A location is a local path or `s3://bucket/prefix`. Credentials come from the standard AWS chain; the endpoint of an
S3-compatible store from `AWS_ENDPOINT_URL`, the variable every AWS SDK reads. Neither is ever part of a configuration.

Object storage answers with errors, breaks off and stalls: reads try again, after growing random pauses, for
`PATIENCE_SECONDS`; a stalled answer is given up after `STALL_SECONDS`. Large objects are read in parts, so that only a
broken part is read again.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from raybind.errors import ConfigError

PATIENCE_SECONDS = 180
"""How long a read is tried again while object storage does not answer as it should."""
STALL_SECONDS = 5
"""How long an answer may stand still."""
_COPY_BYTES = 8 << 20
_PART_BYTES = 16 << 20
_OPEN_FILES = 256
_HOPELESS = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN")
"""Errors of the AWS SDK that stay."""

T = TypeVar("T")


@dataclass(frozen=True)
class Storage:
    """A folder, local or in a bucket; keys are paths below it, separated by `/`."""

    filesystem: pafs.FileSystem
    root: str

    def read(self, key: str) -> bytes:
        """The whole object. Raises: FileNotFoundError."""
        return b"".join(self.read_parts(key))

    def read_parts(self, key: str, on_retry: Callable[[], None] | None = None) -> Iterator[bytes]:
        """The whole object, in parts.

        Args:
            on_retry: called before each further try.
        Raises: FileNotFoundError; OSError: object storage did not answer as it should for `PATIENCE_SECONDS`.
        """
        file = self._patiently(lambda: self.filesystem.open_input_file(self._path(key)), on_retry)
        with file:
            size = file.size()
            for first in range(0, size, _PART_BYTES):
                yield self._patiently(partial(file.read_at, min(_PART_BYTES, size - first), first), on_retry)

    def read_range(self, key: str, offset: int, length: int, on_retry: Callable[[], None] | None = None) -> bytes:
        """`length` bytes from `offset` of an object that does not change; fewer where it ends early.

        Args:
            on_retry: called before each further try.
        Raises: FileNotFoundError; OSError: object storage did not answer as it should for `PATIENCE_SECONDS`.
        """

        def read() -> bytes:
            if not self.is_local:
                return self._remote_file(self._path(key)).read_at(length, offset)
            with self.filesystem.open_input_file(self._path(key)) as file:
                return file.read_at(length, offset)

        return self._patiently(read, on_retry)

    @cached_property
    def _remote_file(self) -> Callable[[str], pa.NativeFile]:
        """Opening an object asks for its size, a request of its own: done once for the ranges of a shard."""
        return lru_cache(maxsize=_OPEN_FILES)(self.filesystem.open_input_file)

    def __reduce__(self) -> tuple[type, tuple[pafs.FileSystem, str]]:
        """Without what is open."""
        return Storage, (self.filesystem, self.root)

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of a machine's own."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def write(self, key: str, data: bytes) -> None:
        """Write an object whole; a reader never sees half of it."""
        self.write_stream(key, io.BytesIO(data))

    def write_stream(self, key: str, source: BinaryIO) -> None:
        """Write what `source` still holds as an object; a reader never sees half of it."""
        path = self._path(key)
        if self.is_local:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            partial = f"{path}.partial-{os.getpid()}"
            with open(partial, "wb") as file:
                shutil.copyfileobj(source, file, _COPY_BYTES)
            os.replace(partial, path)
            return
        with self.filesystem.open_output_stream(path) as stream:
            shutil.copyfileobj(source, stream, _COPY_BYTES)

    def exists(self, key: str) -> bool:
        """Whether an object of this key is there."""
        return self.filesystem.get_file_info(self._path(key)).type == pafs.FileType.File

    def children(self, folder: str = "") -> list[str]:
        """Sorted names of the files and folders directly inside `folder`; empty where it does not exist."""
        selector = pafs.FileSelector(self._path(folder), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys of all objects below the folder `prefix`; empty where it does not exist."""
        selector = pafs.FileSelector(self._path(prefix), allow_not_found=True, recursive=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.path[len(self.root) + 1 :] for info in found if info.type == pafs.FileType.File)

    def delete(self, key: str) -> None:
        """Remove an object. Raises: FileNotFoundError."""
        self.filesystem.delete_file(self._path(key))

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all below it, where it exists."""
        if self.filesystem.get_file_info(self._path(folder)).type == pafs.FileType.Directory:
            self.filesystem.delete_dir(self._path(folder))

    def check_readable(self) -> None:
        """Make sure that objects could be read here.

        Raises:
            ConfigError: no such folder or bucket, or an endpoint or credentials that do not work.
        """
        if not self.is_local:
            _check_bucket(self.filesystem, self.root.split("/")[0])
        elif not os.path.isdir(self.root):
            raise ConfigError(f"there is no folder {self.root}; correct the location")

    def check_writable(self) -> None:
        """Make sure that objects could be written here, without writing one.

        Raises:
            ConfigError: no such bucket, an endpoint or credentials that do not work, or a folder that is not writable.
        """
        if self.is_local:
            _check_folder(self.root)
        else:
            _check_bucket(self.filesystem, self.root.split("/")[0])

    def below(self, folder: str) -> "Storage":
        """The storage rooted at `folder` inside this one."""
        return Storage(self.filesystem, self._path(folder))

    def _patiently(self, call: Callable[[], T], on_retry: Callable[[], None] | None = None) -> T:
        if self.is_local:
            return call()
        attempts = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.1, max=10),
            stop=stop_after_delay(PATIENCE_SECONDS),
            before_sleep=lambda _: on_retry() if on_retry else None,
            reraise=True,
        )
        return attempts(call)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}".rstrip("/")


def open_storage(location: str, retries: int = 3) -> Storage:
    """The storage at a local path or `s3://bucket/prefix`; nothing is contacted yet.

    Args:
        retries: tries of one request by the AWS SDK, with pauses that grow to 20 s, beneath the patience of `Storage`;
            more for those who use its filesystem themselves.
    """
    parts = urlsplit(location)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ConfigError(f"{location!r} names no bucket; write s3://bucket/prefix")
        return Storage(_s3_filesystem(retries), f"{parts.netloc}{parts.path}".rstrip("/"))
    return Storage(pafs.LocalFileSystem(), os.path.abspath(os.path.expanduser(location)))


def _check_folder(root: str) -> None:
    existing = next(folder for folder in (Path(root), *Path(root).parents) if folder.exists())
    if not existing.is_dir():
        raise ConfigError(f"{root} cannot be a folder: {existing} is a file; choose another location")
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"{root} cannot be written: no permission on {existing}; choose another location")


def _check_bucket(filesystem: pafs.FileSystem, bucket: str) -> None:
    endpoint = _s3_endpoint() or "AWS"
    try:
        found = filesystem.get_file_info(bucket).type
    except OSError as error:
        raise ConfigError(
            f"s3://{bucket} at {endpoint} cannot be reached: {error}; check AWS_ENDPOINT_URL, credentials and network"
        ) from None
    if found != pafs.FileType.Directory:
        raise ConfigError(f"bucket {bucket!r} does not exist at {endpoint}; create it or correct the location")


def _may_pass(error: BaseException) -> bool:
    """Whether an error of the object storage may be gone at the next try."""
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | PermissionError):
        return False
    return not any(code in str(error) for code in _HOPELESS)


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


class _PatientS3(pafs.S3FileSystem):
    """Keeps its retries where it is sent to another process; pyarrow's own loses them (25.0)."""

    def __init__(self, retries: int, **settings: Any) -> None:
        super().__init__(retry_strategy=pafs.AwsStandardS3RetryStrategy(retries), **settings)
        self._retries = retries

    def __reduce__(self) -> tuple[Callable[..., "_PatientS3"], tuple[Any, ...]]:
        _, (settings,) = super().__reduce__()  # pyright: ignore[reportAssignmentType]
        return _restored, (self._retries, settings)


def _restored(retries: int, settings: dict[str, Any]) -> _PatientS3:
    return _PatientS3(retries, **settings)


def _s3_filesystem(retries: int) -> pafs.S3FileSystem:
    endpoint = _s3_endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint is None:
        return _PatientS3(retries, region=region, request_timeout=STALL_SECONDS)
    parts = urlsplit(endpoint)
    return _PatientS3(
        retries,
        endpoint_override=parts.netloc,
        scheme=parts.scheme,
        region=region or "us-east-1",
        request_timeout=STALL_SECONDS,
    )
