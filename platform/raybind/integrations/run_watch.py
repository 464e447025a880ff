"""Watching the workers of a run: which rank stands still, where, and what ends a run for good.

Every worker tells a `RunWatch` every second where it stands. A rank that is silent, or stands at one place for longer
than `cluster.hang_seconds`, is taken for hung and its process is killed, so that Ray Train starts the workers again;
its own health check asks whether a worker's process answers, not whether its training goes on (Ray 2.60).
"""

import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import ray
from ray.actor import ActorHandle, ActorProxy
from ray.util.queue import Queue

from raybind.integrations.ray_cluster import on_this_node

BEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""A worker unheard of for longer is stopped as a whole, or its interpreter is."""
START_SECONDS = 600.0
"""A start is taken for hung no sooner: it may compile DeepSpeed's operators, a minute or more where cores are few."""
_COLLECTIVES = ("torch/distributed/", "deepspeed/comm/")


STARTING = "starting"


class Place(NamedTuple):
    """Where a rank stands."""

    step: int
    phase: str
    """What of the step."""


class Beat(NamedTuple):
    """What a worker tells."""

    place: Place
    line: str
    """The innermost line of this package that runs."""
    in_collective: bool
    """It waits for other ranks."""


@dataclass
class Standing:
    """What is known of a rank."""

    process: ActorHandle
    beat: Beat
    since: float
    """When it came to its place."""
    heard: float


class RunWatch:
    """An actor beside a run; the driver owns it, so it outlives the workers' restarts."""

    def __init__(self, hang_seconds: float, queue: Queue | None) -> None:
        self._hang_seconds = hang_seconds
        self._queue = queue
        self._lock = threading.Lock()
        self._start = ""
        self._ranks: dict[int, Standing] = {}
        self._verdict: str | None = None
        threading.Thread(target=self._judge_forever, daemon=True).start()

    def beat(self, start: str, rank: int, process: ActorHandle, beat: Beat) -> None:
        """Take a worker's word. `start` names the start of the workers it belongs to."""
        now = time.monotonic()
        with self._lock:
            if start != self._start:
                self._start, self._ranks = start, {}
            known = self._ranks.get(rank)
            since = known.since if known and known.beat.place == beat.place else now
            self._ranks[rank] = Standing(process, beat, since, now)

    def leave(self, start: str, rank: int) -> None:
        """A worker has come to its end."""
        with self._lock:
            if start == self._start:
                self._ranks.pop(rank, None)

    def end(self, verdict: str) -> None:
        """One rank cannot go on, and no restart would help it."""
        self._verdict = self._verdict or verdict

    def verdict(self) -> str | None:
        """What ends the run for good; None while nothing does."""
        return self._verdict

    def forget(self) -> None:
        """The workers have ended, and may be long in starting again."""
        with self._lock:
            self._ranks = {}

    def _judge_forever(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with self._lock:
                hung = hung_ranks(self._ranks, time.monotonic(), self._hang_seconds)
                for rank, how in hung.items():
                    ray.kill(self._ranks[rank].process)
                    if self._queue is not None:
                        self._queue.put(("notice", f"rank {rank} hangs: {how}; killed, the workers start again"))
                if hung:
                    self._ranks = {}


def hung_ranks(ranks: Mapping[int, Standing], now: float, hang_seconds: float) -> dict[int, str]:
    """Once a rank has stood still for too long: those that the others wait for, and where they stand."""
    if all(now - rank.since <= _patience(rank.beat.place, hang_seconds) for rank in ranks.values()):
        return {}
    # One that hangs soon keeps all others waiting in a collective.
    silent = {number: rank for number, rank in ranks.items() if now - rank.heard > SILENT_SECONDS}
    busy = {number: rank for number, rank in ranks.items() if not rank.beat.in_collective}
    return {
        number: f"{'silent' if number in silent else 'still'} for {now - rank.since:.0f} s, last seen "
        f"{rank.beat.place.phase} in step {rank.beat.place.step} at {rank.beat.line}"
        for number, rank in (silent or busy or ranks).items()
    }


def _patience(place: Place, hang_seconds: float) -> float:
    return max(hang_seconds, START_SECONDS) if place.phase == STARTING else hang_seconds


class Heartbeat:
    """A worker's side: tells the watch where the thread that made this stands."""

    def __init__(self, watch: "ActorProxy[RunWatch]", start: str, rank: int) -> None:
        self._watch = watch
        self._start, self._rank = start, rank
        self._process = ray.get_runtime_context().current_actor
        self._thread = threading.get_ident()
        self._stopped = threading.Event()
        self.place = Place(0, STARTING)
        threading.Thread(target=self._tell_forever, daemon=True).start()

    def stop(self) -> None:
        """The work is done, well or not."""
        self._stopped.set()
        self._watch.leave.remote(self._start, self._rank)

    def _tell_forever(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            self._watch.beat.remote(self._start, self._rank, self._process, self._beat())

    def _beat(self) -> Beat:
        frames = traceback.extract_stack(sys._current_frames()[self._thread])
        own = [frame for frame in frames if "/raybind/" in frame.filename]
        innermost = own[-1] if own else frames[-1]
        line = f"{innermost.filename.rpartition('/raybind/')[2]}:{innermost.lineno}"
        return Beat(self.place, line, any(part in frame.filename for frame in frames for part in _COLLECTIVES))


def start_watch(hang_seconds: float, queue: Queue | None) -> "ActorProxy[RunWatch]":
    """A watch in a process of its own, on the driver's node."""
    return ray.remote(RunWatch).options(**on_this_node()).remote(hang_seconds, queue)
