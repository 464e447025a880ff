"""A wrong configuration of a training job: exit code 2 and one clear message, without Ray."""

import subprocess
import sys
from pathlib import Path

import pytest

from raybind.app import train
from raybind.data.manifest import shard_name
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest


@pytest.fixture
def arguments(tmp_path: Path, tiny_media: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    folder = open_storage(str(tmp_path)).below("depth")
    splits = {}
    for split, count in (("train", 8), ("val", 2)):
        writer = ShardWriter(folder, "depth", shard_name(split, 0))
        for number in range(count):
            media = [MediaFile("0.png", tiny_media.depth_png)]  # type: ignore[attr-defined]
            writer.add(SampleMetadata(id=f"{split}{number}", texts=Texts(captions=("x",))), media)
        splits[split] = [writer.close()]
    write_manifest(folder, "depth", splits)
    weights = tmp_path / "weights.safetensors"
    weights.touch()
    return [
        f"data.root={tmp_path}",
        "data.modality=depth",
        "run.name=test",
        f"run.output={tmp_path}/runs",
        f"model.base.weights={weights}",
        "schedule.epochs=3",
        "schedule.warmup_steps=1",
        "training.global_batch_size=4",
    ]


def test_a_right_one_passes_without_importing_what_is_heavy(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*arguments, "--check"]) == 0
    assert "8 samples of depth, 6 steps of 4 (2 per epoch), 1 of warm-up" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.modlity=depth", "did you mean 'modality'?"),
        ("data.modality=smell", "'smell' is not a modality; it is one of audio, depth, image, infrared, video"),
        ("data.modality=image", "no manifest of 'image'"),
        ("data.root=nowhere", "Pack with jobs/pack.py first"),
        ("data.train_split=training", "its splits: train, val"),
        ("validation.split=dev", "split 'dev' is not in"),
        ("training.global_batch_size=16", "global_batch_size=16 is more than the 8 samples"),
        ("schedule.warmup_steps=6", "warm-up takes 6 steps, but the run has only 6"),
        ("cluster.num_workers=2", "need 3 CPUs, the cluster has 2; lower them"),
        ("model.base.architecture=ViT-X", "architecture 'ViT-X' is not an open_clip model"),
        ("model.base.weights=nothing", "base weights 'nothing': no such file"),
        ("run.output=gs://bucket", "'gs' is not supported"),
    ],
)
def test_a_wrong_one_is_named(
    arguments: list[str], override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*arguments, override]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.s3
@pytest.mark.parametrize("key", ["data.root", "run.output"])
def test_a_bucket_that_is_not_there(
    arguments: list[str], key: str, s3_endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*arguments, f"{key}=s3://no-such-bucket/x"]) == 2
    assert f"{key}='s3://no-such-bucket/x': bucket 'no-such-bucket' at {s3_endpoint} does not exist" in (
        capsys.readouterr().err
    )


def test_an_endpoint_that_does_not_answer(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    assert train.main([*arguments, "data.root=s3://bucket/x"]) == 2
    assert "no usable answer from http://127.0.0.1:9" in capsys.readouterr().err


def test_check_leaves_heavy_libraries_alone(arguments: list[str]) -> None:

    code = (
        "import sys; from raybind.app import train; code = train.main(sys.argv[1:]); "
        "heavy = {'torch', 'ray', 'deepspeed', 'mlflow', 'open_clip'} & set(sys.modules); "
        "sys.exit(code or repr(heavy) if heavy else code)"
    )
    subprocess.run([sys.executable, "-c", code, *arguments, "--check"], check=True, env={"PYTHONPATH": "platform"})
