"""What the stack consists of: the command, environment and health check of each service, and the clients' settings."""

import json
import os
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3

BUCKET = "vidal"
"""The bucket that is there from the start."""

TUNE_DRIVER_SLOTS = 4
"""How many sweep trials the head can drive at once: a trial's driver takes one `tune_driver` and no CPU."""

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Settings:
    """Ports and folders of one stack."""

    state_dir: Path
    ray_temp_dir: Path
    """Short, since Unix sockets lie in it and their paths may have 107 characters."""
    s3_port: int
    mlflow_port: int
    ray_port: int
    dashboard_port: int
    ray_client_port: int

    @property
    def s3_url(self) -> str:
        """The S3 endpoint."""
        return f"http://{HOST}:{self.s3_port}"

    @property
    def mlflow_url(self) -> str:
        """The MLflow server."""
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def dashboard_url(self) -> str:
        """The Ray dashboard, which takes jobs."""
        return f"http://{HOST}:{self.dashboard_port}"

    @property
    def token_path(self) -> Path:
        """The file with the secret that Ray asks its clients for."""
        return self.state_dir / "ray_token"


def choose_settings(state_dir: Path, ray_temp_dir: Path) -> Settings:
    """Take the customary ports, or the next free ones where these are taken."""
    return Settings(
        state_dir=state_dir,
        ray_temp_dir=ray_temp_dir,
        s3_port=_free_port(9000),
        mlflow_port=_free_port(5000),
        ray_port=_free_port(6379),
        dashboard_port=_free_port(8265),
        ray_client_port=_free_port(10001),
    )


def client_env(settings: Settings) -> dict[str, str]:
    """The variables with which a shell, a driver or a worker reaches the stack.

    Ray turns 127.0.0.1 into the machine's outer address and listens on all interfaces, unless the variable named
    after Windows and macOS says that no other node will join. Ray reads the token from the file, so that it is in no
    process's environment.
    """
    return {
        "AWS_ENDPOINT_URL": settings.s3_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "RAY_ADDRESS": f"{HOST}:{settings.ray_port}",
        "RAY_API_SERVER_ADDRESS": settings.dashboard_url,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.token_path),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def server_env(settings: Settings) -> dict[str, str]:
    """The environment of the services; submitted jobs inherit the Ray head's, and so reach S3 and MLflow."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "RAY_"))}
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**inherited, **client_env(settings), **own, "PATH": f"{_bin_dir()}:{os.environ.get('PATH', os.defpath)}"}


def s3_command(settings: Settings) -> list[str]:
    """The S3 endpoint, which keeps its objects in memory."""
    return [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(settings.s3_port)]


def mlflow_command(settings: Settings) -> list[str]:
    """The MLflow server; runs and artifacts stay in the state folder, so they outlive the stack."""
    store = settings.state_dir / "mlflow"
    store.mkdir(parents=True, exist_ok=True)
    options = {
        "--host": HOST,
        "--port": settings.mlflow_port,
        "--workers": 1,
        "--backend-store-uri": f"sqlite:///{store / 'mlflow.db'}",
        "--artifacts-destination": store / "artifacts",
    }
    return [sys.executable, "-m", "mlflow", "server", *_flags(options)]


def ray_command(settings: Settings) -> list[str]:
    """The Ray head, with all cores; its ports are random beside the three that clients use."""
    options = {
        "--node-ip-address": HOST,
        "--port": settings.ray_port,
        "--dashboard-host": HOST,
        "--dashboard-port": settings.dashboard_port,
        "--ray-client-server-port": settings.ray_client_port,
        "--dashboard-agent-listen-port": 0,
        "--min-worker-port": 0,
        "--max-worker-port": 0,
        "--temp-dir": settings.ray_temp_dir,
        "--resources": json.dumps({"tune_driver": TUNE_DRIVER_SLOTS}),
    }
    return [str(_bin_dir() / "ray"), "start", "--head", "--block", "--log-color=false", *_flags(options)]


def s3_answers(settings: Settings) -> bool:
    """Whether the S3 endpoint answers."""
    return _get_ok(f"{settings.s3_url}/moto-api/")


def mlflow_answers(settings: Settings) -> bool:
    """Whether the MLflow server answers."""
    return _get_ok(f"{settings.mlflow_url}/health")


def ray_answers(settings: Settings) -> bool:
    """Whether the Ray head takes jobs, for which its dashboard must know this token."""
    return _get_ok(
        f"{settings.dashboard_url}/api/jobs/", {"Authorization": f"Bearer {settings.token_path.read_text()}"}
    )


def create_bucket(settings: Settings) -> None:
    """Make the bucket `BUCKET`."""
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.create_bucket(Bucket=BUCKET)


def ensure_token(settings: Settings) -> None:
    """Make the secret with which clients authenticate to Ray, readable by its owner alone."""
    if not settings.token_path.exists():
        settings.token_path.touch(mode=0o600)
        settings.token_path.write_text(secrets.token_hex(32))


def _bin_dir() -> Path:
    return Path(sys.executable).parent


def _flags(options: Mapping[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


def _free_port(preferred: int) -> int:
    for port in range(preferred, preferred + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"no free port from {preferred} to {preferred + 99} on {HOST}; end what listens there")


def _get_ok(url: str, headers: Mapping[str, str] | None = None) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
