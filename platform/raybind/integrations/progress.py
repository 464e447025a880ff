"""What happens in other processes of a run, told to the driver through a queue actor."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ray.util.queue import Queue

from raybind.integrations.ray_cluster import on_this_node

END = None


class QueueSink:
    """`training.ports.MetricSink`: calls the observer's `show(step, metrics)`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        self._queue.put(("show", step, dict(metrics)))

    def write(self, name: str, text: str) -> None:
        """See `MetricSink`; files are not for the console."""

    def close(self) -> None:
        """See `MetricSink`."""


@contextmanager
def relayed(observer: object) -> Iterator[Queue]:
    """A queue whose items, a name and arguments, become calls of the observer's methods while the block runs, here."""
    queue = Queue(actor_options=on_this_node())
    thread = threading.Thread(target=_call_all, args=(queue, observer), daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        queue.put(END)
        thread.join()
        queue.shutdown()


def _call_all(queue: Queue, observer: object) -> None:
    while (item := queue.get()) is not END:
        name, *arguments = item
        getattr(observer, name)(*arguments)
