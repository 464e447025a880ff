"""`jobs/pack.py` as people run it: on real media, to folders and buckets, killed and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import psutil
import pytest

from raybind.app.pack import main
from raybind.data.manifest import read_split
from raybind.data.sample import Texts
from raybind.data.shard_reader import read_sample
from raybind.data.storage import open_storage

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.ray


def contents(location: str) -> dict[str, bytes]:
    storage = open_storage(location)
    return {key: storage.read(key) for key in storage.list()}


def nyu_subset(shared_data: Path, folder: Path, num_samples: int) -> Path:
    """A folder like nyuv2_train with the first samples only, its media linked."""
    source = shared_data / "nyuv2_train"
    lines = (source / "annotations.jsonl").read_text().splitlines()[:num_samples]
    folder.mkdir()
    (folder / "annotations.jsonl").write_text("\n".join(lines))
    (folder / "depth").symlink_to(source / "depth")
    (folder / "image").symlink_to(source / "image")
    return folder


def vidal_miniature(root: Path, media) -> None:
    """The official layout: a whole sample, one with a wrong depth and m4a sound, one with nothing but texts."""
    annotations = {
        "-abc_1": {"folder": "coco_vat_9", "raw": "cat #cat", "ofa": [f"k{i}" for i in range(8)], "mplug": "a cat"},
        "badDepth": {"folder": "coco_vat_9", "polish_mplug": "A dog."},
        "textOnly": {"folder": "coco_vat_9", "sound_mplug": "barking"},
        "with.dot": {"folder": "coco_vat_9"},
    }
    folder = root / "coco_vat_9"
    for sample_id, png in (("-abc_1", media.depth_png), ("badDepth", media.grey8_png)):
        for kind, suffix, data in (("depth_f8glpn", "png", png), ("thermal", "jpg", media.jpg)):
            (folder / f"{sample_id}_{kind}_folder").mkdir(parents=True)
            for frame in range(8):
                (folder / f"{sample_id}_{kind}_folder/{frame}.{suffix}").write_bytes(data)
        (folder / f"{sample_id}.mp4").write_bytes(media.mp4)
    (folder / "badDepth.m4a").write_bytes(media.m4a)
    (root / "coco_vat_9_ffmpeg_mp3").mkdir()
    (root / "coco_vat_9_ffmpeg_mp3/-abc_1.mp3").write_bytes(media.mp3)
    (root / "captions.json").write_text(json.dumps(annotations))


def test_real_depth_and_images_go_to_a_bucket_and_come_back(
    ray_local: None, shared_data: Path, s3_root: str, tmp_path: Path
) -> None:
    folder = nyu_subset(shared_data, tmp_path / "nyu", 40)
    arguments = ["source.kind=jsonl", f"source.location={folder}", "modalities=[depth,image]"]
    assert main([*arguments, f"output={s3_root}", "samples_per_shard=8"]) == 0
    for modality, suffix in (("depth", "0.png"), ("image", "jpg")):
        index = read_split(open_storage(s3_root), modality, "train")
        assert len(index) + len(read_split(open_storage(s3_root), modality, "val")) == 40
        assert index.shard_sizes == (8, 8, 8, 8, 4)
        metadata, media = read_sample(index, 17)
        stem = (folder / modality / f"{metadata.id}").with_suffix(f".{suffix.split('.')[-1]}")
        assert [(file.suffix, file.data) for file in media] == [(suffix, stem.read_bytes())]
        assert metadata.labels["scene"]
        assert metadata.texts.captions
    keys = open_storage(s3_root).list()
    assert not [key for key in keys if ".packing" in key]


def test_all_five_real_modalities_are_the_same_bytes_whatever_the_parallelism(
    ray_local: None, shared_data: Path, tmp_path: Path
) -> None:
    arguments = ["source.kind=jsonl", f"source.location={shared_data / 'lb_samples'}", "samples_per_shard=1"]
    assert main([*arguments, f"output={tmp_path / 'two_at_a_time'}", "num_cpus=1"]) == 0
    assert main([*arguments, f"output={tmp_path / 'one_at_a_time'}", "num_cpus=2"]) == 0
    one = contents(str(tmp_path / "one_at_a_time"))
    assert one == contents(str(tmp_path / "two_at_a_time"))
    assert {key.split("/")[0] for key in one} == {
        "audio", "depth", "image", "infrared", "video", "pack-report.json",
    }  # fmt: skip


def test_the_official_layout_with_every_failure_listed(ray_local: None, tmp_path: Path, tiny_media, capsys) -> None:
    (tmp_path / "vidal").mkdir()
    vidal_miniature(tmp_path / "vidal", tiny_media)
    arguments = ["source.kind=vidal", f"source.location={tmp_path / 'vidal'}", "source.annotations=captions.json"]
    assert main([*arguments, f"output={tmp_path / 'out'}", "val_fraction=0"]) == 0
    report = json.loads((tmp_path / "out/pack-report.json").read_text())["modalities"]
    counts = {
        name: (sum(r["packed"].values()), r["absent"], len(r["failed"]), r["total"]) for name, r in report.items()
    }
    assert counts == {"video": (2, 2, 0, 4), "infrared": (2, 2, 0, 4), "depth": (1, 2, 1, 4), "audio": (1, 2, 1, 4)}
    failed = {(sample["id"], sample["cause"]) for entry in report.values() for sample in entry["failed"]}
    assert failed == {
        ("badDepth", "depth needs a 16-bit greyscale png, this is 8-bit greyscale"),
        ("badDepth", "audio of type m4a; convert to wav or flac or ogg or mp3"),
    }
    printed = capsys.readouterr().out
    assert "Not packed" in printed
    assert "badDepth" in printed
    metadata, media = read_sample(read_split(open_storage(str(tmp_path / "out")), "depth", "train"), 0)
    assert metadata.texts == Texts(raw="cat #cat", keyframes=tuple(f"k{i}" for i in range(8)), video="a cat")
    assert [file.suffix for file in media] == [f"{frame}.png" for frame in range(8)]


def test_tiny_vidal_is_packed_by_the_same_job(ray_local: None, tmp_path: Path) -> None:
    sizes = ["tiny_vidal.num_train=6", "tiny_vidal.num_val=2", "tiny_vidal.num_test=2", "tiny_vidal.image_size_px=32"]
    assert main(["source.kind=tiny_vidal", f"output={tmp_path}", "samples_per_shard=4", *sizes]) == 0
    for modality in ("video", "infrared", "depth", "audio", "image"):
        index = read_split(open_storage(str(tmp_path)), modality, "train")
        assert list(index.ids) == [f"tiny-train-{number:06d}" for number in range(6)]
        assert read_sample(index, 5)[0].texts.enhanced


@pytest.mark.slow
def test_a_killed_packing_goes_on_and_ends_with_the_same_bytes(
    ray_local: None, shared_data: Path, tmp_path: Path
) -> None:
    folder = nyu_subset(shared_data, tmp_path / "nyu", 60)
    output = tmp_path / "killed"
    arguments = ["source.kind=jsonl", f"source.location={folder}", "samples_per_shard=1"]
    command = [sys.executable, "jobs/pack.py", *arguments, f"output={output}"]
    environment = {**os.environ, "PYTHONPATH": "platform", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "local"}
    first = subprocess.Popen(command, cwd=PROJECT, env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(output.glob("*/.packing/*/*.json"))) < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    processes = psutil.Process(first.pid).children(recursive=True)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    # Ray's processes follow their driver, and may end what they were at.
    assert not psutil.wait_procs(processes, timeout=60)[1]
    kept = {path: path.stat().st_mtime_ns for path in output.glob("*/*.tar") if _has_record(path)}
    assert 10 <= len(kept) < 120
    assert not list(output.glob("*/manifest.json"))

    second = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert f"{len(kept)} shards of an earlier run are kept" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert main([*arguments, f"output={tmp_path / 'whole'}"]) == 0
    assert contents(str(output)) == contents(str(tmp_path / "whole"))


def _has_record(shard: Path) -> bool:
    return bool(list(shard.parent.glob(f".packing/*/{shard.name}.json")))


def test_an_unreachable_output_stops_with_a_message_and_goes_on_later(
    ray_local: None, tmp_path: Path, tiny_media, capsys
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.jpg").write_bytes(tiny_media.jpg)
    (source / "annotations.jsonl").write_text('{"id": "a", "image": "a.jpg", "split": "train"}')
    output = tmp_path / "out"
    (output / "image").mkdir(parents=True)
    (output / "image/train-000000.tar").mkdir()
    arguments = ["source.kind=jsonl", f"source.location={source}", f"output={output}"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "train-000000.tar" in error
    assert "run the same command again" in error
    assert "Traceback" not in error
    shutil.rmtree(output / "image/train-000000.tar")
    assert [main(arguments), main(arguments)] == [0, 0]
    assert "complete already" in capsys.readouterr().out


@pytest.mark.s3
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.location=nowhere"], "there is no folder"),
        (["output=s3://no-such-bucket/x"], "bucket 'no-such-bucket' does not exist"),
        (["modalities=[video]"], "has no sample with video; it has image"),
        (["modalities=[smell]"], "cannot have the modality 'smell'"),
        (["sample_per_shard=3"], "did you mean 'samples_per_shard'"),
    ],
)
def test_a_wrong_configuration_is_one_message_and_exit_code_2(
    s3_endpoint: str, tmp_path: Path, overrides: list[str], message: str, capsys
) -> None:
    (tmp_path / "annotations.jsonl").write_text('{"id": "a", "image": "a.jpg"}')
    arguments = ["source.kind=jsonl", f"source.location={tmp_path}", f"output={tmp_path / 'out'}"]
    assert main([*arguments, *overrides, "--check"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_more_cpus_than_the_cluster_has_is_a_configuration_error(
    ray_local: None, tmp_path: Path, tiny_media, capsys
) -> None:
    (tmp_path / "a.jpg").write_bytes(tiny_media.jpg)
    (tmp_path / "annotations.jsonl").write_text('{"id": "a", "image": "a.jpg"}')
    arguments = ["source.kind=jsonl", f"source.location={tmp_path}", f"output={tmp_path / 'out'}"]
    assert main([*arguments, "num_cpus=64"]) == 2
    assert "num_cpus=64.0, but the Ray cluster has 2.0 CPUs" in capsys.readouterr().err


def test_checking_starts_no_ray(tmp_path: Path) -> None:
    (tmp_path / "annotations.jsonl").write_text('{"id": "a", "image": "a.jpg"}')
    program = (
        "import sys; from raybind.app.pack import main; "
        f"code = main(['source.kind=jsonl', 'source.location={tmp_path}', 'output={tmp_path}/out', '--check']); "
        "sys.exit(code or 'ray' in sys.modules)"
    )
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PROJECT / "platform")}, check=True
    )
    assert time.monotonic() - start < 5


def test_a_bucket_source_is_packed_like_a_folder(ray_local: None, s3_endpoint: str, s3_root: str, tiny_media) -> None:
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    annotations = '{"id": "a", "image": "i/a.jpg", "split": "train"}\n{"id": "b", "image": "i/no.jpg"}'
    client.put_object(Bucket=bucket, Key=f"{prefix}/raw/annotations.jsonl", Body=annotations.encode())
    client.put_object(Bucket=bucket, Key=f"{prefix}/raw/i/a.jpg", Body=tiny_media.jpg)
    assert main(["source.kind=jsonl", f"source.location={s3_root}/raw", f"output={s3_root}/out"]) == 0
    report = json.loads(open_storage(f"{s3_root}/out").read("pack-report.json"))["modalities"]["image"]
    assert report["packed"]["train"] == 1
    assert [(sample["id"], sample["cause"]) for sample in report["failed"]] == [("b", "file is missing")]
