"""Start a service in a session of its own, wait until it answers, and end exactly what was started.

Each service leads its own Unix session. The kernel gives the number of a living session to no other process, so the
session, together with the descendants of its leader, names everything a service has started: Ray's workers and the
drivers of submitted jobs included, and nothing else.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel

START_LIMIT_SECONDS = 120.0
"""How long a service may take until it answers; the slowest, on two busy cores, took 20 seconds."""

TERM_GRACE_SECONDS = 6.0
"""How long processes may take to end after SIGTERM, before SIGKILL; Ray's took 3 seconds on two idle cores."""

POLL_SECONDS = 0.1


class ServiceFailedError(RuntimeError):
    """A service ended or stayed silent while it was started; the message holds the end of its log."""


class RunningService(BaseModel):
    """A started service, as the state file remembers it."""

    name: str
    address: str
    pid: int
    """Process id of the session's leader."""
    created: float
    """When that process started, in seconds since the epoch: tells it from a later process of the same id."""
    log: Path

    def is_alive(self) -> bool:
        """Whether the very process that was started still runs."""
        return _is_same(self) and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE


def start(name: str, address: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> RunningService:
    """Start `command` in a new session, its output going to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    created = psutil.Process(process.pid).create_time()
    return RunningService(name=name, address=address, pid=process.pid, created=created, log=log)


def wait_until(service: RunningService, answers: Callable[[], bool]) -> None:
    """Return once the service answers.

    Raises:
        ServiceFailedError: it ended, or did not answer within `START_LIMIT_SECONDS`.
    """
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while not answers():
        if not service.is_alive():
            raise ServiceFailedError(f"{service.name} ended while starting.{_log_tail(service.log)}")
        if time.monotonic() > deadline:
            raise ServiceFailedError(
                f"{service.name} did not answer at {service.address} within {START_LIMIT_SECONDS:.0f} s."
                f"{_log_tail(service.log)}"
            )
        time.sleep(POLL_SECONDS)


def end(services: Iterable[RunningService]) -> None:
    """End the services with everything they started: SIGTERM, and SIGKILL to what is left after the grace time."""
    services = [service for service in services if not _was_replaced(service)]
    deadline = time.monotonic() + TERM_GRACE_SECONDS
    signalled: set[psutil.Process] = set()
    while members := _members(services) | {process for process in signalled if _runs(process)}:
        expired = time.monotonic() > deadline
        for process in members if expired else members - signalled:
            _signal(process, kill=expired)
        signalled |= members
        time.sleep(POLL_SECONDS)


def _members(services: Sequence[RunningService]) -> set[psutil.Process]:
    sessions = {service.pid for service in services}
    found = {process for process in psutil.process_iter() if _session(process) in sessions}
    for service in services:
        found.update(_descendants(service))
    return {process for process in found if _runs(process)}


def _descendants(service: RunningService) -> list[psutil.Process]:
    try:
        return psutil.Process(service.pid).children(recursive=True) if _is_same(service) else []
    except psutil.NoSuchProcess:
        return []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        pass


def _is_same(service: RunningService) -> bool:
    try:
        return psutil.Process(service.pid).create_time() == service.created
    except psutil.NoSuchProcess:
        return False


def _was_replaced(service: RunningService) -> bool:
    return psutil.pid_exists(service.pid) and not _is_same(service)


def _log_tail(log: Path, num_lines: int = 20) -> str:
    lines = log.read_text(errors="replace").splitlines()[-num_lines:]
    return "\n".join([f" The end of {log}:", *(f"  | {line}" for line in lines)])
