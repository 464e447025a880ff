"""How far a job is that goes through shards: a bar on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class ShardProgress:
    """What is done to the shards, in the words of the line."""

    console: Console
    done: str
    """"packed", for instance."""
    unit: str
    """What is counted beside shards, in the plural."""
    shards: str = "shards"
    """What comes one after the other, in the plural."""

    def show(self, shards: Iterable[T], total: int, count: Callable[[T], int]) -> Iterator[T]:
        """Pass shards on as they come.

        Args:
            total: shards there will be.
            count: of one shard, in the unit.
        """
        track = self._bar if self.console.is_terminal else self._lines
        return track(shards, total, count)

    def _bar(self, shards: Iterable[T], total: int, count: Callable[[T], int]) -> Iterator[T]:
        columns = (
            TextColumn(self.done),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{self.shards}  {{task.fields[rate]:.0f}} {self.unit}/s  time left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task, start, counted = progress.add_task("", total=total, rate=0.0), time.monotonic(), 0
            for shard in shards:
                counted += count(shard)
                progress.update(task, advance=1, rate=counted / (time.monotonic() - start))
                yield shard

    def _lines(self, shards: Iterable[T], total: int, count: Callable[[T], int]) -> Iterator[T]:
        start = last = time.monotonic()
        counted = 0
        for number, shard in enumerate(shards, start=1):
            counted += count(shard)
            now = time.monotonic()
            if now - last >= _LINE_EVERY_SECONDS or number == total:
                last, elapsed = now, now - start
                left = elapsed / number * (total - number)
                rate = f"{counted / elapsed:.0f} {self.unit}/s"
                self.console.print(f"{self.done} {number}/{total} {self.shards}, {rate}, {left:.0f} s left")
            yield shard
