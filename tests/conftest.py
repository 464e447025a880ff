"""What several test folders share: small real media, an S3 endpoint on loopback, one Ray cluster."""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from raybind.model.architecture import read_architecture
from raybind.model.base import to_open_clip
from raybind.model.bound import BoundModel

# A shell that works with a running stack names it in its environment, which the tests have no business with.
for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_", "RAY_"))]:
    del os.environ[name]

PROJECT = Path(__file__).resolve().parents[1]
SHARED_DATA = PROJECT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared real media; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real media are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_media() -> SimpleNamespace:
    """Bytes of one small valid file per type (mp4: header only), and of wrong ones."""
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.zeros(160, np.int16).tobytes())
    return SimpleNamespace(
        depth_png=_encode(".png", grey * 100),
        grey8_png=_encode(".png", grey.astype(np.uint8)),
        rgb_png=_encode(".png", np.zeros((8, 8, 3), np.uint8)),
        jpg=_encode(".jpg", np.zeros((8, 8, 3), np.uint8)),
        wav=sound.getvalue(),
        mp4=b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom",
        m4a=b"\x00\x00\x00\x14ftypM4A \x00\x00\x02\x00isom",
        mp3=b"ID3\x04\x00\x00\x00\x00\x00\x00",
        html=b"<!DOCTYPE html><title>404</title>",
    )


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an empty S3 endpoint in a process of its own; the AWS variables name it until the session ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, server)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_REGION", "us-east-1")
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            yield url
    finally:
        server.terminate()
        server.wait(timeout=10)


@pytest.fixture
def s3_root(s3_endpoint: str) -> str:
    """`s3://bucket/prefix` with a bucket of this test's own."""
    bucket = f"test-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/prefix"


@pytest.fixture(scope="session")
def ray_local(s3_endpoint: str) -> Iterator[None]:
    """One Ray cluster of two CPUs for all tests; its workers see the S3 endpoint."""
    import ray

    aws = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=300 * 2**20,
            runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT / "platform"), **aws}},
        )
        yield
        ray.shutdown()


def _encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(url: str, server: subprocess.Popen, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"moto.server ended with code {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"moto.server does not answer at {url}")


@pytest.fixture(scope="session")
def base_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip weights file of the tiny architecture, random from a fixed seed."""
    torch.manual_seed(0)
    model = BoundModel(read_architecture("ViT-Tiny-14"))
    model.init_weights()
    torch.nn.init.constant_(model.logit_scale, 2.66)
    path = tmp_path_factory.mktemp("base") / "weights.safetensors"
    save_file(to_open_clip(model.state_dict()), path)
    return path
