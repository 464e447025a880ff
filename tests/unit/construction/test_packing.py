"""The plan decides every byte; a packing that was interrupted goes on; every sample is accounted for."""

import json
from pathlib import Path

import pytest

from raybind.construction.pack_chunk import ChunkPacker
from raybind.construction.pack_plan import Chunk, PackPlan, make_plan
from raybind.construction.pack_report import PackReport
from raybind.construction.packing import check_output, discard_stale, finish, finished_shards, remaining_work
from raybind.construction.sources import JsonlSource, SeededSplit
from raybind.data.manifest import read_split
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError, DataError


@pytest.fixture
def source(tmp_path: Path, tiny_media) -> JsonlSource:
    """Five samples with image, all but the first with depth, one depth of eight bits and one id with a dot."""
    folder = tmp_path / "source"
    folder.mkdir()
    records = []
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(tiny_media.jpg)
        (folder / f"{number}.png").write_bytes(tiny_media.grey8_png if number == 2 else tiny_media.depth_png)
        split = "val" if number == 4 else "train"
        records.append({"id": f"s{number}", "image": f"{number}.jpg", "depth": f"{number}.png", "split": split})
    del records[0]["depth"]
    records.append({"id": "s.5", "depth": "0.png", "split": "train"})
    (folder / "annotations.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    return JsonlSource(open_storage(str(folder)), "annotations.jsonl", SeededSplit(0, 0.1))


def pack(
    source: JsonlSource, root: Storage, plan: PackPlan, reverse: bool = False, overwrite: bool = False
) -> PackReport:
    modalities = check_output(root, plan, overwrite)
    discard_stale(root, plan, modalities)
    packed = finished_shards(root, plan, modalities)
    packer = ChunkPacker(source, root, plan.digest)
    work = remaining_work(plan, modalities, packed)
    for chunk, left in reversed(work) if reverse else work:
        packed += packer.pack(Chunk.from_bytes(chunk.to_bytes()), left)
    return finish(root, plan, source.name, modalities, packed)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_sample_is_packed_absent_or_listed_with_its_cause(source: JsonlSource, tmp_path: Path) -> None:
    report = pack(source, open_storage(str(tmp_path / "out")), make_plan(source, (), 2))
    depth, image = report.modalities["depth"], report.modalities["image"]
    assert (image.total, image.packed, image.absent, image.failed) == (6, {"train": 4, "val": 1}, 1, ())
    assert (depth.total, depth.packed, depth.absent) == (6, {"train": 2, "val": 1}, 1)
    assert [(sample.id, sample.cause, sample.file) for sample in depth.failed] == [
        ("s.5", "id has characters other than letters, digits, - and _", None),
        ("s2", "depth needs a 16-bit greyscale png, this is 8-bit greyscale", "0.png"),
    ]
    assert json.loads((tmp_path / "out/pack-report.json").read_text())["modalities"]["depth"]["absent"] == 1


def test_shard_n_holds_the_same_stretch_in_every_modality(source: JsonlSource, tmp_path: Path) -> None:
    root = open_storage(str(tmp_path / "out"))
    pack(source, root, make_plan(source, (), 2))
    shards = {}
    for modality in ("image", "depth"):
        index = read_split(root, modality, "train")
        shards[modality] = {index.shards[shard].name: [] for shard in index.shard}
        for sample_id, shard in zip(index.ids, index.shard, strict=True):
            shards[modality][index.shards[shard].name].append(str(sample_id))
    assert shards["image"] == {"train-000000.tar": ["s0", "s1"], "train-000001.tar": ["s2", "s3"]}
    assert shards["depth"] == {"train-000000.tar": ["s1"], "train-000001.tar": ["s3"]}


def test_order_of_work_and_time_do_not_change_a_byte(source: JsonlSource, tmp_path: Path) -> None:
    plan = make_plan(source, (), 2)
    pack(source, open_storage(str(tmp_path / "one")), plan)
    pack(source, open_storage(str(tmp_path / "two")), make_plan(source, (), 2), reverse=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_packing_does_only_what_is_missing(source: JsonlSource, tmp_path: Path) -> None:
    plan = make_plan(source, (), 2)
    root = open_storage(str(tmp_path / "out"))
    ChunkPacker(source, root, plan.digest).pack(plan.chunks[0], ("image", "depth"))
    (tmp_path / "out/image/train-000009.tar.partial-7").write_bytes(b"half")
    finished = finished_shards(root, plan, ("image", "depth"))
    assert [chunk.shard_name for chunk, _ in remaining_work(plan, ("image", "depth"), finished)] == [
        "train-000001.tar",
        "val-000000.tar",
    ]
    stored = (tmp_path / "out/image/train-000000.tar").stat().st_mtime_ns
    pack(source, root, plan)
    assert (tmp_path / "out/image/train-000000.tar").stat().st_mtime_ns == stored
    pack(source, open_storage(str(tmp_path / "whole")), plan)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_records_of_another_plan_are_not_resumed(source: JsonlSource, tmp_path: Path) -> None:
    other, plan = make_plan(source, (), 1), make_plan(source, (), 2)
    root = open_storage(str(tmp_path / "out"))
    for chunk in other.chunks:
        ChunkPacker(source, root, other.digest).pack(chunk, ("image", "depth"))
    pack(source, root, plan)
    pack(source, open_storage(str(tmp_path / "whole")), plan)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_complete_modality_is_left_alone_and_another_plan_needs_overwrite(
    source: JsonlSource, tmp_path: Path
) -> None:
    root = open_storage(str(tmp_path / "out"))
    pack(source, root, make_plan(source, ("image",), 2))
    assert check_output(root, make_plan(source, ("image",), 2), overwrite=False) == ()
    assert check_output(root, make_plan(source, (), 2), overwrite=False) == ("depth",)
    with pytest.raises(ConfigError, match=r"already holds image.*overwrite=true"):
        check_output(root, make_plan(source, (), 3), overwrite=False)
    pack(source, root, make_plan(source, (), 3), overwrite=True)
    pack(source, open_storage(str(tmp_path / "whole")), make_plan(source, (), 3))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_modality_added_later_must_keep_the_splits(source: JsonlSource, tmp_path: Path) -> None:
    root = open_storage(str(tmp_path / "out"))
    pack(source, root, make_plan(source, ("image",), 2))
    annotations = tmp_path / "source/annotations.jsonl"
    annotations.write_text(annotations.read_text().replace('"val"', '"train"'))
    with pytest.raises(ConfigError, match=r"s4 is in split 'val' of .*/image, but would be in 'train' now"):
        check_output(root, make_plan(source, ("depth",), 2), overwrite=False)


def test_a_modality_of_which_nothing_could_be_packed_gets_no_manifest(
    source: JsonlSource, tmp_path: Path, tiny_media
) -> None:
    for png in (tmp_path / "source").glob("*.png"):
        png.write_bytes(tiny_media.html)
    root = open_storage(str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"no sample of depth could be packed.*pack-report\.json"):
        pack(source, root, make_plan(source, (), 2))
    assert root.exists("image/manifest.json")
    assert not root.exists("depth/manifest.json")
    assert not root.list("depth")


def test_a_modality_the_source_does_not_have_is_named(source: JsonlSource) -> None:
    with pytest.raises(ConfigError, match="has no sample with video; it has depth, image"):
        make_plan(source, ("video",), 2)
    with pytest.raises(ConfigError, match="cannot have the modality 'smell'"):
        make_plan(source, ("smell",), 2)


def test_a_source_without_a_packable_sample_is_refused(tmp_path: Path) -> None:
    source = JsonlSource(open_storage(str(tmp_path)), "annotations.jsonl", SeededSplit(0, 0))
    (tmp_path / "annotations.jsonl").write_text("")
    with pytest.raises(ConfigError, match="it lists no samples"):
        make_plan(source, (), 2)
    (tmp_path / "annotations.jsonl").write_text('{"id": "a.b", "image": "x.jpg"}')
    with pytest.raises(ConfigError, match="none of its 1 samples can be packed: id has characters"):
        make_plan(source, (), 2)
