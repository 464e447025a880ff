"""Copies of shards on a machine's own disk, shared by its processes, least recently read ones deleted first.

Reading single samples of an epoch order costs a request each; with a copy, an object store is asked once for a whole
shard. A copy's name is its SHA-256, so a data set that is packed again never meets old bytes. A shard that is not what
the manifest says is not kept: its samples are read from the store, and each one's own checksum decides.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from raybind.config.train import CacheConfig
from raybind.data.manifest import SplitIndex
from raybind.errors import ConfigError

_MAX_PARALLEL_COPIES = 8
_TRIES = 2
"""Another process may delete a copy between its making and its reading."""


class ShardCache:
    """A folder of whole shards, never larger than its limit."""

    def __init__(self, folder: str, max_gb: float) -> None:
        self._folder = Path(folder)
        self._limit = int(max_gb * 1e9)
        self._not_kept: set[str] = set()

    def read_range(
        self, index: SplitIndex, shard: int, offset: int, length: int, on_retry: Callable[[], None] | None = None
    ) -> bytes:
        """As `Storage.read_range`, from the copy of the shard, which is made first where there is none.

        Raises: ConfigError: the disk is full; and as `Storage.read_range`.
        """
        copy = self._copy(index, shard)
        for _ in range(_TRIES):
            try:
                with open(copy, "rb", buffering=0) as file:
                    os.utime(file.fileno(), ns=(now := time.time_ns(), now))
                    return os.pread(file.fileno(), length, offset)
            except FileNotFoundError:
                if not self._make(copy, index, shard, on_retry):
                    break
        return index.storage.read_range(index.shards[shard].name, offset, length, on_retry)

    def fill(self, index: SplitIndex, shards: Collection[int]) -> None:
        """Make the copies of some shards, where there are none, several at a time; a shard that is missing stays so."""

        def make(shard: int) -> None:
            with suppress(FileNotFoundError):
                self._make(self._copy(index, shard), index, shard, None)

        wanted = [shard for shard in shards if not self._copy(index, shard).exists()]
        if wanted:
            with ThreadPoolExecutor(_MAX_PARALLEL_COPIES) as pool:
                list(pool.map(make, wanted))

    def _copy(self, index: SplitIndex, shard: int) -> Path:
        return self._folder / f"{index.shards[shard].sha256}.tar"

    def _make(self, copy: Path, index: SplitIndex, shard: int, on_retry: Callable[[], None] | None) -> bool:
        """Whether the copy is there now; another process that is making it is waited for."""
        if copy.name in self._not_kept:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_suffix(".lock")):
            if copy.exists():
                return True
            partial = copy.with_suffix(".partial")
            entry = index.shards[shard]
            if not self._reserve(partial, entry.num_bytes):
                return False
            digest = hashlib.sha256()
            try:
                with open(partial, "r+b") as file:
                    for part in index.storage.read_parts(entry.name, on_retry):
                        digest.update(part)
                        file.write(part)
            except OSError as error:
                partial.unlink()
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise ConfigError(
                        f"the disk of cluster.cache.folder={str(self._folder)!r} is full; lower cluster.cache.max_gb="
                        f"{self._limit / 1e9:g}, or free it"
                    ) from None
                raise
            if digest.hexdigest() != entry.sha256:
                partial.unlink()
                self._not_kept.add(copy.name)
                return False
            partial.rename(copy)
            return True

    def _reserve(self, partial: Path, num_bytes: int) -> bool:
        """Make a file of that size; copies give way to it. Returns: whether it fits."""
        with FileLock(self._folder / "reserve.lock"):
            for left in self._folder.glob("*.partial"):
                if left != partial and not _is_being_made(left):
                    left.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
            used = {path: path.stat() for pattern in ("*.tar", "*.partial") for path in self._folder.glob(pattern)}
            too_much = sum(stat.st_size for stat in used.values()) + num_bytes - self._limit
            for path in sorted(used, key=lambda path: used[path].st_mtime):
                if too_much > 0 and path.suffix == ".tar":
                    path.unlink()
                    too_much -= used[path].st_size
            if too_much <= 0:
                with open(partial, "wb") as file:
                    file.truncate(num_bytes)
            return too_much <= 0


def check_cache(config: CacheConfig, index: SplitIndex, window_shards: int) -> None:
    """A cache that holds less than the shards that are read in turn copies each of them again and again.

    Raises: ConfigError: it is too small.
    """
    largest = sorted((shard.num_bytes for shard in index.shards), reverse=True)[:window_shards]
    if config.folder is not None and sum(largest) > config.max_gb * 1e9:
        raise ConfigError(
            f"cluster.cache.max_gb={config.max_gb:g} is less than the {sum(largest) / 1e9:.3g} GB of "
            f"data.shuffle_window_shards={window_shards} shards; raise it, or lower the window to what fits"
        )


def _is_being_made(partial: Path) -> bool:
    try:
        with FileLock(partial.with_suffix(".lock"), blocking=False):
            return False
    except Timeout:
        return True
