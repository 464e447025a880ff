"""`make up` and `make down`: what they start answers, and they end exactly that."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import mlflow
import psutil
import pytest
from botocore.client import BaseClient

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]


@pytest.fixture(scope="module")
def s3(local_stack) -> BaseClient:
    env = local_stack.env
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with the stack."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_the_bucket_takes_and_returns_objects(s3):
    s3.put_object(Bucket="vidal", Key="test_local_stack/object", Body=b"0123456789")
    found = s3.get_object(Bucket="vidal", Key="test_local_stack/object", Range="bytes=2-4")
    assert found["Body"].read() == b"234"


def test_mlflow_takes_metrics_and_artifacts(local_stack, tmp_path: Path):
    client = mlflow.MlflowClient(local_stack.env["MLFLOW_TRACKING_URI"])
    run = client.create_run(client.create_experiment("test_local_stack"))
    client.log_metric(run.info.run_id, "loss", 0.5)
    client.log_text(run.info.run_id, "table", "table.txt")
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
    downloaded = client.download_artifacts(run.info.run_id, "table.txt", str(tmp_path))
    assert Path(downloaded).read_text() == "table"


def test_every_port_is_on_loopback(local_stack):
    for pid in local_stack.leader_pids():
        leader = psutil.Process(pid)
        for process in [leader, *leader.children(recursive=True)]:
            addresses = [
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            ]
            assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, process.cmdline()


def test_a_second_up_leaves_the_running_stack_as_it_is(local_stack):
    before = local_stack.leader_pids()
    again = local_stack.command("up")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert local_stack.leader_pids() == before


def test_down_ends_what_up_and_its_jobs_started_and_nothing_else(local_stack, new_stack, bystander):
    assert new_stack.command("up").returncode == 0
    # The job's own session and its child must not outlive the stack.
    submitted = new_stack.submit("--no-wait", "--", "sh", "-c", "sleep 4242.4242 & sleep 4242.4242")
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    wait_until(lambda: len(processes_of("4242.4242")) >= 2)
    state = json.loads((new_stack.state_dir / "stack.json").read_text())
    started = [
        process
        for pid in new_stack.leader_pids()
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    ]

    assert new_stack.command("down").returncode == 0

    assert [process for process in started if is_alive(process)] == []
    assert processes_of("4242.4242") == []
    assert not Path(state["ray_temp_dir"]).exists()
    assert bystander.poll() is None
    assert local_stack.command("status").returncode == 0
    assert "not running" in new_stack.command("down").stdout


def test_a_service_that_cannot_start_is_named_with_its_log_and_the_others_are_ended(new_stack):
    database = new_stack.state_dir / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.write_text("this is no database\n" * 100)
    result = new_stack.command("up")
    assert result.returncode == 1
    assert "MLflow ended while starting" in result.stderr
    assert "file is not a database" in result.stderr
    assert not (new_stack.state_dir / "stack.json").exists()
    assert processes_of(str(new_stack.state_dir)) == []


def test_down_spares_a_process_that_has_taken_over_a_noted_process_id(new_stack, bystander):
    new_stack.state_dir.mkdir()
    noted = {"name": "MLflow", "address": "", "pid": bystander.pid, "created": 1.0, "log": "mlflow.log"}
    state = {"ray_temp_dir": str(new_stack.state_dir / "ray"), "services": [noted]}
    (new_stack.state_dir / "stack.json").write_text(json.dumps(state))
    assert new_stack.command("down").returncode == 0
    assert bystander.poll() is None


def processes_of(text: str) -> list[psutil.Process]:
    """Living processes with `text` on their command line, the tests' own left out."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in own and text in " ".join(process.info["cmdline"] or ()) and is_alive(process)
    ]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], limit_seconds: float = 60) -> None:
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.2)
