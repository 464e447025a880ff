"""Files on a local path or in object storage, by one code path: pyarrow's filesystems.

A location is a local path or `s3://bucket/prefix`. Credentials come from the standard AWS chain; the endpoint of an
S3-compatible store from `AWS_ENDPOINT_URL`, the variable every AWS SDK reads. Neither is ever part of a configuration.
"""

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from raybind.errors import ConfigError

_COPY_BYTES = 8 << 20


@dataclass(frozen=True)
class Storage:
    """A folder, local or in a bucket; keys are paths below it, separated by `/`."""

    filesystem: pafs.FileSystem
    root: str

    def read(self, key: str) -> bytes:
        """The whole object. Raises: FileNotFoundError."""
        with self.filesystem.open_input_file(self._path(key)) as file:
            return file.read()

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer where the object ends early. Raises: FileNotFoundError."""
        with self.filesystem.open_input_file(self._path(key)) as file:
            return file.read_at(length, offset)

    def write(self, key: str, data: bytes) -> None:
        """Write an object whole; a reader never sees half of it."""
        self.write_stream(key, io.BytesIO(data))

    def write_stream(self, key: str, source: BinaryIO) -> None:
        """Write what `source` still holds as an object; a reader never sees half of it."""
        path = self._path(key)
        if isinstance(self.filesystem, pafs.LocalFileSystem):
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
        if not isinstance(self.filesystem, pafs.LocalFileSystem):
            _check_bucket(self.filesystem, self.root.split("/")[0])
        elif not os.path.isdir(self.root):
            raise ConfigError(f"there is no folder {self.root}; correct the location")

    def check_writable(self) -> None:
        """Make sure that objects could be written here, without writing one.

        Raises:
            ConfigError: no such bucket, an endpoint or credentials that do not work, or a folder that is not writable.
        """
        if isinstance(self.filesystem, pafs.LocalFileSystem):
            _check_folder(self.root)
        else:
            _check_bucket(self.filesystem, self.root.split("/")[0])

    def below(self, folder: str) -> "Storage":
        """The storage rooted at `folder` inside this one."""
        return Storage(self.filesystem, self._path(folder))

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}".rstrip("/")


def open_storage(location: str) -> Storage:
    """The storage at a local path or `s3://bucket/prefix`; nothing is contacted yet."""
    parts = urlsplit(location)
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ConfigError(f"{location!r} names no bucket; write s3://bucket/prefix")
        return Storage(_s3_filesystem(), f"{parts.netloc}{parts.path}".rstrip("/"))
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


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _s3_filesystem() -> pafs.S3FileSystem:
    endpoint = _s3_endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint is None:
        return pafs.S3FileSystem(region=region)
    parts = urlsplit(endpoint)
    return pafs.S3FileSystem(endpoint_override=parts.netloc, scheme=parts.scheme, region=region or "us-east-1")
