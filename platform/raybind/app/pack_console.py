"""What the packing job says on the console in the end: what was and was not packed."""

from collections.abc import Iterable

from rich import filesize
from rich.console import Console
from rich.table import Table

from raybind.construction.pack_chunk import FailedSample
from raybind.construction.pack_report import PackReport

_EXAMPLES = 3


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
