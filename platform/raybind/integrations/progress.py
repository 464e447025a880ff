"""Lines of progress from a training worker to the driver's console, through a queue actor."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.util.queue import Queue

END = None


class QueueSink:
    """`training.ports.MetricSink`: hands metrics to whoever reads the queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        self._queue.put((step, dict(metrics)))

    def write(self, name: str, text: str) -> None:
        """See `MetricSink`; files are not for the console."""

    def close(self) -> None:
        """See `MetricSink`."""


@contextmanager
def relayed(show: Callable[..., Any]) -> Iterator[Queue]:
    """A queue whose items, tuples, are the arguments of calls of `show` in this process while the block runs."""
    queue = Queue(actor_options={"num_cpus": 0})
    thread = threading.Thread(target=_show_all, args=(queue, show), daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        queue.put(END)
        thread.join()
        queue.shutdown()


def _show_all(queue: Queue, show: Callable[..., Any]) -> None:
    while (item := queue.get()) is not END:
        show(*item)
