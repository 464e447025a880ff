"""A sample read back is the sample that was written; else the error names shard, sample and damage."""

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raybind.data.manifest import SplitIndex, read_split, shard_name
from raybind.data.sample import MediaFile, SampleMetadata
from raybind.data.shard_reader import read_sample
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.errors import DataError

SHARD = "image/train-000000.tar"


@pytest.fixture
def index(tmp_path: Path, tiny_media) -> SplitIndex:
    storage = open_storage(str(tmp_path / "image"))
    writer = ShardWriter(storage, "image", shard_name("train", 0))
    for sample_id in ("a", "b", "c"):
        writer.add(SampleMetadata(id=sample_id, labels={"scene": sample_id}), (MediaFile("jpg", tiny_media.jpg),))
    write_manifest(storage, "image", {"train": [writer.close()]})
    return read_split(open_storage(str(tmp_path)), "image", "train")


def test_samples_come_back_as_written(index: SplitIndex, tiny_media) -> None:
    for i, sample_id in enumerate(("a", "b", "c")):
        metadata, media = read_sample(index, i)
        assert metadata == SampleMetadata(id=sample_id, labels={"scene": sample_id})
        assert media == (MediaFile("jpg", tiny_media.jpg),)


def test_a_flipped_bit_is_found_and_the_neighbours_stay_readable(index: SplitIndex, tmp_path: Path) -> None:
    shard = tmp_path / SHARD
    data = bytearray(shard.read_bytes())
    data[int(index.offset[1]) + 1100] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"image/train-000000\.tar: sample b: CRC-32 is .* damaged or replaced"):
        read_sample(index, 1)
    assert read_sample(index, 0)[0].id == "a"
    assert read_sample(index, 2)[0].id == "c"


def test_a_cut_shard_is_found(index: SplitIndex, tmp_path: Path) -> None:
    shard = tmp_path / SHARD
    shard.write_bytes(shard.read_bytes()[: int(index.offset[2]) + 10])
    with pytest.raises(DataError, match="sample c: the shard ends after 10 of the sample's"):
        read_sample(index, 2)


def test_a_missing_shard_is_found(index: SplitIndex, tmp_path: Path) -> None:
    (tmp_path / SHARD).unlink()
    with pytest.raises(DataError, match="sample a: the shard is missing"):
        read_sample(index, 0)


def test_an_index_that_names_another_sample_is_found(index: SplitIndex) -> None:
    swapped = replace(index, ids=np.asarray(["b", "a", "c"]))
    with pytest.raises(DataError, match=r"sample b: its bytes hold the samples \['a'\]"):
        read_sample(swapped, 0)


def test_a_range_over_two_samples_is_found(index: SplitIndex) -> None:
    length = index.length.copy()
    length[0] += length[1]
    crc32 = index.crc32.copy()
    crc32[0] = zlib.crc32(index.storage.read_range(index.shards[0].name, 0, int(length[0])))
    with pytest.raises(DataError, match=r"sample a: its bytes hold the samples \['a', 'b'\]"):
        read_sample(replace(index, length=length, crc32=crc32), 0)
