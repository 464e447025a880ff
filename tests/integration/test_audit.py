"""An audit through its job: what is wrong is listed with its cause, what is right is counted, copies are found."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raybind.app import audit, train
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import read_split, shard_name
from raybind.data.sample import Texts
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from tests.integration.test_train import arguments

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WORLD = TinyVidalConfig(modalities=("depth",), num_frames=2, image_size_px=64)


def write_shards(root: Path) -> None:
    """24 samples in two shards and 8 for validation, of which the last holds what the first one holds in training."""
    folder, splits = open_storage(str(root / "depth")), {"train": [], "val": []}
    for split, sizes in (("train", (12, 12)), ("val", (8,))):
        for shard, size in enumerate(sizes):
            writer = ShardWriter(folder, "depth", shard_name(split, shard))
            for number in range(shard * 12, shard * 12 + size):
                sample = render_sample(WORLD, split, number)
                media, metadata = sample.media["depth"], sample.metadata
                if (split, number) == ("val", 7):
                    media = render_sample(WORLD, "train", 0).media["depth"]
                if (split, number) == ("train", 5):
                    metadata = metadata.model_copy(update={"texts": Texts(raw="no caption of a key frame")})
                if (split, number) == ("train", 6):
                    media = (media[0], replace(media[1], data=media[1].data[:60]))
                writer.add(metadata, media)
            splits[split].append(writer.close())
    write_manifest(folder, "depth", splits)


@pytest.mark.usefixtures("ray_local")
def test_audit_and_its_skip_list(tmp_path: Path, base_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    write_shards(data)
    index = read_split(open_storage(str(data)), "depth", "train")
    shard = data / "depth" / index.shards[1].name
    damaged = bytearray(shard.read_bytes())
    damaged[int(index.offset[20]) + 600] ^= 1
    shard.write_bytes(damaged)

    argv = [f"data.root={data}", "data.modality=depth", "data.text_source=keyframe", "image_size=56"]
    assert audit.main([*argv, f"output={tmp_path}/audit", "splits=[test]"]) == 2
    assert "there are ['train', 'val']" in capsys.readouterr().err
    assert audit.main([*argv, f"output={tmp_path}/audit"]) == 0
    assert "read 3/3 shards" in capsys.readouterr().out
    found = json.loads((tmp_path / "audit/audit.json").read_text())
    assert found["causes"] == {"missing text": 1, "undecodable media": 1, "checksum differs": 1}
    assert (found["splits"]["train"]["num_samples"], found["splits"]["train"]["num_bad"]) == (24, 3)
    assert found["splits"]["train"]["views"]["keyframes"] == 21
    assert found["splits"]["val"]["num_bad"] == 0
    assert found["duplicates"]["across_splits"] == 1
    assert found["duplicates"]["examples"] == [["train/tiny-train-000000", "val/tiny-val-000007"]]
    listed = [json.loads(line)["id"] for line in (tmp_path / "audit/skip.jsonl").read_text().splitlines()]
    assert listed == [f"tiny-train-{number:06d}" for number in (5, 6, 20)]

    run = arguments(str(data), str(tmp_path), base_weights, f"sqlite:///{tmp_path}/mlflow.db")
    skip = ["data.max_bad_sample_rate=0", f"data.skip_list={tmp_path}/audit/skip.jsonl", "training.global_batch_size=4"]
    assert train.main([*run, *skip, "schedule.epochs=1", "--check"]) == 0
    assert "21 samples of depth, 5 steps of 4" in capsys.readouterr().out
