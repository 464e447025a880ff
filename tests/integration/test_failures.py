"""What can befall a run, done to it for real: what the user then saw, and what it cost.

Each test prints a row of a table. Steps of the runs are short and checkpoints frequent, so the costs are those of
noticing and starting again.
"""

import ctypes
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import free_port
from tests.integration.relay import relay_to
from tests.integration.runs import Cluster, Run, kill_one, two_nodes, write_shards

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

LONG = "schedule.epochs=25"
"""300 steps."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("failures")
    write_shards(f"{folder}/data")
    return folder


@pytest.fixture(autouse=True)
def no_driver_survives() -> Iterator[None]:
    """A run whose test has failed would slow down the next."""
    yield
    for child in psutil.Process().children():
        if any(word.endswith("jobs/train.py") for word in child.cmdline()):
            child.kill()
            child.wait()


def row(failure: str, saw: str, cost: str) -> None:
    print(f"\n| {failure} | {saw} | {cost} |", flush=True)


def said(run: Run, sign: str) -> str:
    """The line of the run's console that has this in it."""
    found = [line for line in run.log.read_text().splitlines() if sign in line]
    assert found, run.log.read_text()[-3000:]
    return found[-1]


def goes_on(run: Run, driver: subprocess.Popen[str], num_starts: int) -> float:
    """Seconds until the workers have taken a step after another start."""
    began = time.monotonic()
    run.wait_for(driver, num_starts)
    return time.monotonic() - began


def ends_well(run: Run, driver: subprocess.Popen[str]) -> None:
    """To its last step, every batch once."""
    assert driver.wait() == 0, run.log.read_text()[-3000:]
    steps = [step for step, _ in run.samples()]
    assert steps == list(range(len(steps)))


def test_a_worker_is_killed(folder: Path, cluster: Cluster, base_weights: Path) -> None:
    run = Run(folder, "worker", cluster, base_weights)
    driver = run.start()
    run.wait_for(driver, 1, step=10)
    assert kill_one(cluster.processes("RayTrainWorker"))
    seconds = goes_on(run, driver, 2)
    ends_well(run, driver)
    row("worker killed", said(run, "ended:"), f"{seconds:.0f} s to the next step")


def test_the_driver_is_killed_and_started_again(folder: Path, cluster: Cluster, base_weights: Path) -> None:
    run = Run(folder, "driver", cluster, base_weights)
    driver = run.start()
    run.wait_for(driver, 1, step=10)
    driver.kill()
    driver.wait()
    driver = run.start()
    seconds = goes_on(run, driver, 2)
    ends_well(run, driver)
    row("driver killed, same command again", "nothing but its progress", f"{seconds:.0f} s to the next step")


@pytest.mark.parametrize("what", ["process", "training thread"])
def test_a_rank_hangs(folder: Path, cluster: Cluster, base_weights: Path, what: str) -> None:
    run = Run(folder, f"hung-{what.split()[0]}", cluster, base_weights, LONG, "cluster.hang_seconds=15")
    driver = run.start()
    run.wait_for(driver, 1, step=10)
    worker = cluster.processes("RayTrainWorker")[0]
    if what == "process":
        worker.send_signal(signal.SIGSTOP)
    else:
        stop_thread(busiest_thread(worker))
    seconds = goes_on(run, driver, 2)
    ends_well(run, driver)
    row(f"{what} of a rank stopped, cluster.hang_seconds=15", said(run, "hangs"), f"{seconds:.0f} s to the next step")


def busiest_thread(process: psutil.Process) -> int:
    """Over a second."""
    before = {thread.id: thread.user_time for thread in process.threads()}
    time.sleep(1)
    return max(process.threads(), key=lambda thread: thread.user_time - before.get(thread.id, thread.user_time)).id


def stop_thread(number: int) -> None:
    """Stop one thread of another process; it stays so while this process lives (ptrace: SEIZE, INTERRUPT)."""
    for request in (0x4206, 0x4207):
        assert ctypes.CDLL(None).ptrace(request, number, None, None) == 0


def test_a_node_is_given_notice(folder: Path, cluster: Cluster, base_weights: Path) -> None:
    settings = (
        LONG,
        "cluster.min_workers=1",
        "cluster.resize_check_seconds=5",
        "training.checkpoint_every_steps=10000",
    )
    run = Run(folder, "notice", cluster, base_weights, *settings)
    driver = run.start()
    run.wait_for(driver, 1, step=20)
    cluster.give_notice(seconds=15)
    time.sleep(15)
    cluster.kill_node()
    last = max(run.starts()[0])
    seconds = goes_on(run, driver, 2)
    again = last + 1 - min(run.starts()[1])
    cluster.add_node()
    ends_well(run, driver)
    row(
        "node drained with 15 s notice, then killed",
        "nothing but its progress",
        f"{seconds:.0f} s, {again} steps again",
    )


def test_memory_runs_out(folder: Path, cluster: Cluster, base_weights: Path) -> None:
    run = Run(folder, "memory", cluster, base_weights, LONG)
    driver = run.start()
    run.wait_for(driver, 1, step=10)
    worker = cluster.processes("RayTrainWorker")[0]
    began = time.monotonic()
    worker.rlimit(resource.RLIMIT_AS, (worker.memory_info().vms, -1))
    assert driver.wait() == 1
    row("no memory left", said(run, "out of memory"), f"the run ended after {time.monotonic() - began:.0f} s")


def test_the_loss_is_not_finite(folder: Path, cluster: Cluster, base_weights: Path) -> None:
    run = Run(folder, "nan", cluster, base_weights, "optimizer.lr=1e30")
    driver = run.start()
    assert driver.wait() == 1
    message = said(run, "not finite")
    step = int(re.search(r"step (\d+)", message).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    row("gradients not finite (optimizer.lr=1e30)", message, f"found in its step, {step}")


@pytest.mark.parametrize("what", ["TMPDIR", "run.output"])
def test_a_disk_is_full(folder: Path, base_weights: Path, what: str) -> None:
    disk = folder / f"disk-{what}"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60M", "tmpfs", str(disk)], check=True)
    try:
        small = ("cluster.worker_cpus=0.5", "cluster.reader_cpus=0.5", LONG)
        run = Run(folder, f"full-{what}", None, base_weights, *small)
        place = {"run__output": str(disk)} if what == "run.output" else {}
        if what == "TMPDIR":
            # Ray's own files go elsewhere: without room for these no process of it starts.
            run.env |= {"TMPDIR": str(disk), "RAY_TMPDIR": "/tmp"}
        driver = run.start(**place)
        run.wait_for(driver, 1, step=10)
        began = time.monotonic()
        fill(disk)
        assert driver.wait() == 1
        message, seconds = said(run, "No space left"), time.monotonic() - began
        (disk / "filling").unlink()
        driver = run.start(**place)
        ends_well(run, driver)
        row(f"disk of {what} full", message, f"the run ended after {seconds:.0f} s; the same command went on")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> None:
    """To the last byte."""
    with suppress(OSError), (disk / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))


def test_object_storage_is_away_for_a_minute(
    folder: Path, s3_endpoint: str, s3_root: str, base_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(s3_root)
    with relay_to(s3_endpoint) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL", relay.url)
        small = ("cluster.worker_cpus=0.5", "cluster.reader_cpus=0.5", f"data.root={s3_root}", LONG)
        run = Run(folder, "s3", None, base_weights, *small, f"run.output={s3_root}/runs")
        driver = run.start()
        run.wait_for(driver, 1, step=20)
        relay.down()
        time.sleep(60)
        relay.up()
        last, starts = max(run.starts()[-1]), len(run.starts())
        began = time.monotonic()
        run.wait_for(driver, starts, step=last + 1)
        seconds = time.monotonic() - began
        ends_well(run, driver)
        row("object storage away for 60 s", f"{len(run.starts())} starts", f"{seconds:.0f} s more to the next step")


def test_mlflow_is_away_for_ten_minutes(folder: Path, base_weights: Path) -> None:
    port = free_port()
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen([*command, *store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with relay_to(f"http://127.0.0.1:{port}") as relay:
            time.sleep(20)
            small = ("cluster.worker_cpus=0.5", "cluster.reader_cpus=0.5", "schedule.epochs=10000")
            uri = f"tracking.uri={relay.url}"
            run = Run(folder, "mlflow", None, base_weights, *small, uri, "training.checkpoint_every_steps=1000")
            driver = run.start()
            run.wait_for(driver, 1, step=20)
            relay.down()
            first = max(run.starts()[-1])
            time.sleep(600)
            relay.up()
            last, began = max(run.starts()[-1]), time.monotonic()
            while (losses := run.losses()).keys() < set(range(1, last + 1)):
                assert driver.poll() is None, run.log.read_text()[-3000:]
                assert time.monotonic() - began < 120, f"{len(losses)} of {last} steps are there"
                time.sleep(1)
            cost = (
                f"none: {last - first} steps in that time, all there {time.monotonic() - began:.0f} s after its return"
            )
            row("MLflow away for 600 s", "nothing but its progress", cost)
    finally:
        for process in (*psutil.Process(server.pid).children(recursive=True), server):
            process.terminate()
        server.wait(timeout=30)
