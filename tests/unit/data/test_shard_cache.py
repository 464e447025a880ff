"""Copies of shards: the same bytes, within the limit, never of a shard that is not what the manifest says."""

import threading
from pathlib import Path

import numpy as np
import pytest

from raybind.config.data import DataConfig
from raybind.config.train import CacheConfig
from raybind.data.manifest import SplitIndex, read_split, shard_name
from raybind.data.reader import SampleReader
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.shard_cache import ShardCache, check_cache
from raybind.data.storage import Storage, open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.errors import ConfigError
from raybind.model.input_shape import InputShape
from tests.unit.data.test_reader import depth_png

NUM_SHARDS, SAMPLES_PER_SHARD = 4, 5
CONFIG = DataConfig(root="unused", modality="depth", text_source="keyframe")


@pytest.fixture
def index(tmp_path: Path) -> SplitIndex:
    folder = open_storage(str(tmp_path / "data/depth"))
    shards = []
    for shard in range(NUM_SHARDS):
        writer = ShardWriter(folder, "depth", shard_name("train", shard))
        for number in range(SAMPLES_PER_SHARD):
            texts = Texts(keyframes=tuple(f"{shard} {number} {frame}" for frame in range(8)))
            media = [MediaFile(f"{frame}.png", depth_png(100 * (shard + 1) + number)) for frame in range(8)]
            writer.add(SampleMetadata(id=f"s{shard}-{number}", texts=texts), media)
        shards.append(writer.close())
    write_manifest(folder, "depth", {"train": shards})
    return read_split(open_storage(str(tmp_path / "data")), "depth", "train")


def reader(index: SplitIndex, cache: ShardCache | None) -> SampleReader:
    return SampleReader(index, CONFIG, InputShape(14, 14), seed=0, shard_cache=cache)


def cache_of(folder: Path, shards: float, index: SplitIndex) -> ShardCache:
    """One that holds so many shards."""
    return ShardCache(str(folder), shards * index.shards[0].num_bytes / 1e9)


def copies(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.tar")}


def test_the_same_samples_and_then_none_from_the_store(index: SplitIndex, tmp_path: Path) -> None:
    numbers = list(range(len(index)))[::-1]
    expected = reader(index, None).read_batch(numbers, epoch=0)
    cached = reader(index, cache_of(tmp_path / "cache", NUM_SHARDS, index))
    for _ in range(2):
        found = cached.read_batch(numbers, epoch=0)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
        for shard in index.shards:
            (tmp_path / "data/depth" / shard.name).unlink(missing_ok=True)


def test_what_was_not_read_for_longest_gives_way(index: SplitIndex, tmp_path: Path) -> None:
    cache = cache_of(tmp_path, 2.5, index)
    for shard in (0, 1, 0, 2):
        cache.read_range(index, shard, 0, 10)
    assert copies(tmp_path) == {index.shards[0].sha256, index.shards[2].sha256}


def test_larger_than_the_cache_is_read_without_it(index: SplitIndex, tmp_path: Path) -> None:
    cached = reader(index, cache_of(tmp_path, 0.5, index))
    assert not cached.read_batch([0, 7], epoch=0)["fault"].astype(bool).any()
    assert not copies(tmp_path)


def test_a_shard_that_is_not_what_it_was_is_not_kept(index: SplitIndex, tmp_path: Path) -> None:
    path = tmp_path / "data/depth" / index.shards[0].name
    damaged = bytearray(path.read_bytes())
    damaged[int(index.offset[1]) + 600] ^= 1
    path.write_bytes(damaged)
    (tmp_path / "data/depth" / index.shards[1].name).unlink()
    found = reader(index, cache_of(tmp_path / "cache", NUM_SHARDS, index)).read_batch([0, 1, 2, 5, 12], epoch=0)
    assert found["fault"].tolist() == ["", "checksum differs", "", "shard is missing", ""]
    assert copies(tmp_path / "cache") == {index.shards[2].sha256}


def test_readers_at_the_same_time_ask_for_a_shard_once(
    index: SplitIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read_parts = Storage.read_parts
    monkeypatch.setattr(Storage, "read_parts", lambda self, *args: (asked.append(args[0]), read_parts(self, *args))[1])
    caches = [cache_of(tmp_path, NUM_SHARDS, index) for _ in range(4)]
    threads = [threading.Thread(target=cache.fill, args=(index, range(NUM_SHARDS))) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked) == [shard.name for shard in index.shards]
    assert len(copies(tmp_path)) == NUM_SHARDS


def test_what_a_killed_reader_left_is_cleared_away(index: SplitIndex, tmp_path: Path) -> None:
    (tmp_path / "0123.partial").write_bytes(bytes(index.shards[0].num_bytes))
    cache_of(tmp_path, 1, index).fill(index, [0])
    assert copies(tmp_path) == {index.shards[0].sha256}
    assert not list(tmp_path.glob("*.partial"))


def test_a_cache_smaller_than_the_window_is_refused(index: SplitIndex) -> None:
    small = CacheConfig(folder="anywhere", max_gb=1.5 * index.shards[0].num_bytes / 1e9)
    check_cache(small, index, window_shards=1)
    with pytest.raises(ConfigError, match=r"cluster.cache.max_gb=.* less than .* data.shuffle_window_shards=2"):
        check_cache(small, index, window_shards=2)
