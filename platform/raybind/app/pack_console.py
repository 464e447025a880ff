"""What the packing job says on the console: progress while it runs, a summary of what was and was not packed."""

import time
from collections.abc import Iterable, Iterator

from rich import filesize
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from raybind.construction.pack_chunk import FailedSample, PackedShard
from raybind.construction.pack_report import PackReport

_LINE_EVERY_SECONDS = 5.0
_EXAMPLES = 3


def show_progress(console: Console, shards: Iterable[PackedShard], total: int) -> Iterator[PackedShard]:
    """Pass shards on and show how far the packing is: a bar on a terminal, a line every few seconds elsewhere."""
    track = _bar if console.is_terminal else _lines
    return track(console, shards, total)


def print_summary(console: Console, report: PackReport, modalities: Iterable[str]) -> None:
    """Two tables: samples per modality, and what could not be packed by cause, with examples."""
    table = Table("modality", "packed", "absent", "failed", "shards", "size", title="Packed", title_justify="left")
    for modality in modalities:
        entry = report.modalities[modality]
        packed = ", ".join(f"{split} {count}" for split, count in entry.packed.items())
        counts = (entry.absent, len(entry.failed), entry.num_shards)
        table.add_row(modality, packed, *(str(count) for count in counts), filesize.decimal(entry.num_bytes))
    console.print(table)
    failed = [sample for modality in modalities for sample in report.modalities[modality].failed]
    if failed:
        console.print(_causes(failed))


def _causes(failed: Iterable[FailedSample]) -> Table:
    by_cause: dict[tuple[str, str], list[str]] = {}
    for sample in failed:
        by_cause.setdefault((sample.modality, sample.cause), []).append(sample.id)
    table = Table("modality", "cause", "samples", "for example", title="Not packed", title_justify="left")
    for (modality, cause), ids in sorted(by_cause.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        more = ", ..." if len(ids) > _EXAMPLES else ""
        table.add_row(modality, cause, str(len(ids)), ", ".join(ids[:_EXAMPLES]) + more)
    return table


def _bar(console: Console, shards: Iterable[PackedShard], total: int) -> Iterator[PackedShard]:
    columns = (
        TextColumn("packing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards  {task.fields[rate]:.0f} samples/s  time left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task, start, samples = progress.add_task("", total=total, rate=0.0), time.monotonic(), 0
        for shard in shards:
            samples += len(shard.shard.ids)
            progress.update(task, advance=1, rate=samples / (time.monotonic() - start))
            yield shard


def _lines(console: Console, shards: Iterable[PackedShard], total: int) -> Iterator[PackedShard]:
    start = last = time.monotonic()
    samples = 0
    for done, shard in enumerate(shards, start=1):
        samples += len(shard.shard.ids)
        now = time.monotonic()
        if now - last >= _LINE_EVERY_SECONDS or done == total:
            last, elapsed = now, now - start
            left = elapsed / done * (total - done)
            console.print(f"packed {done}/{total} shards, {samples / elapsed:.0f} samples/s, {left:.0f} s left")
        yield shard
