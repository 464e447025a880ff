"""Shards are what the format promises: deterministic, seekable, readable by WebDataset, refused when wrong."""

import hashlib
import io
import json
import tarfile
import zlib
from pathlib import Path

import pytest
from webdataset.compat import WebDataset

from raybind.data.manifest import read_manifest, read_split, shard_name
from raybind.data.sample import MediaFile, SampleMetadata, Texts, UnpackableSample
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, sample_to_tar, write_manifest
from raybind.errors import DataError


def write_depth(root: Path, png: bytes, ids: tuple[str, ...] = ("a", "b"), split: str = "train"):
    writer = ShardWriter(open_storage(str(root / "depth")), "depth", shard_name(split, 0))
    for sample_id in ids:
        metadata = SampleMetadata(
            id=sample_id, texts=Texts(captions=("Ein Stuhl, größer",)), labels={"scene": "office"}
        )
        writer.add(metadata, (MediaFile("1.png", png), MediaFile("0.png", png)))
    return writer.close()


def test_the_same_samples_give_the_same_bytes(tmp_path: Path, tiny_media) -> None:
    first = write_depth(tmp_path / "one", tiny_media.depth_png)
    assert write_depth(tmp_path / "two", tiny_media.depth_png) == first
    stored = (tmp_path / "two/depth/train-000000.tar").read_bytes()
    assert hashlib.sha256(stored).hexdigest() == first.sha256
    assert len(stored) == first.num_bytes


def test_a_byte_range_holds_one_sample_with_its_json_first(tmp_path: Path, tiny_media) -> None:
    write_manifest(
        open_storage(str(tmp_path / "depth")), "depth", {"train": [write_depth(tmp_path, tiny_media.depth_png)]}
    )
    index = read_split(open_storage(str(tmp_path)), "depth", "train")
    shard = (tmp_path / "depth/train-000000.tar").read_bytes()
    for i, sample_id in enumerate(["a", "b"]):
        part = shard[index.offset[i] : index.offset[i] + index.length[i]]
        assert zlib.crc32(part) == index.crc32[i]
        with tarfile.open(fileobj=io.BytesIO(part)) as tar:
            assert tar.getnames() == [f"{sample_id}.json", f"{sample_id}.0.png", f"{sample_id}.1.png"]


def test_webdataset_reads_a_shard(tmp_path: Path, tiny_media) -> None:
    write_depth(tmp_path, tiny_media.depth_png)
    shard = str(tmp_path / "depth/train-000000.tar")
    samples = list(WebDataset(shard, shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in samples] == ["a", "b"]
    assert samples[0]["0.png"] == tiny_media.depth_png
    assert json.loads(samples[1]["json"]) == {
        "id": "b",
        "texts": {"captions": ["Ein Stuhl, größer"]},
        "labels": {"scene": "office"},
    }


def test_a_long_id_stays_within_its_range(tiny_media) -> None:
    metadata = SampleMetadata(id="x" * 120)
    with tarfile.open(fileobj=io.BytesIO(sample_to_tar(metadata, (MediaFile("wav", tiny_media.wav),)))) as tar:
        assert tar.getnames() == [f"{'x' * 120}.json", f"{'x' * 120}.wav"]


def test_a_second_sample_of_an_id_is_refused_and_not_written(tmp_path: Path, tiny_media) -> None:
    with pytest.raises(UnpackableSample, match="already in this shard"):
        write_depth(tmp_path, tiny_media.depth_png, ids=("a", "a"))


def test_a_shard_without_samples_is_not_stored(tmp_path: Path, tiny_media) -> None:
    record = write_depth(tmp_path, tiny_media.depth_png, ids=())
    assert record.ids == ()
    assert not (tmp_path / "depth").exists()
    with pytest.raises(DataError, match="no sample of depth"):
        write_manifest(open_storage(str(tmp_path / "depth")), "depth", {"train": [record]})


def test_the_manifest_skips_empty_shards_and_counts_the_others(tmp_path: Path, tiny_media) -> None:
    empty = write_depth(tmp_path, tiny_media.depth_png, ids=(), split="val")
    full = write_depth(tmp_path, tiny_media.depth_png)
    write_manifest(open_storage(str(tmp_path / "depth")), "depth", {"train": [full], "val": [empty]})
    manifest = read_manifest(open_storage(str(tmp_path)), "depth")
    assert manifest.splits.keys() == {"train"}
    assert manifest.splits["train"].num_samples == 2


def test_an_id_in_two_shards_of_a_split_is_refused(tmp_path: Path, tiny_media) -> None:
    record = write_depth(tmp_path, tiny_media.depth_png)
    with pytest.raises(DataError, match="'a' occurs twice"):
        write_manifest(open_storage(str(tmp_path / "depth")), "depth", {"train": [record, record]})
