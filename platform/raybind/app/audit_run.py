"""Running an audit: shards in parallel, then the report on the console and in files."""

from collections.abc import Iterable

from rich import filesize

from raybind.app.audit import indices
from raybind.app.console import console, show_sheet
from raybind.app.shard_progress import ShardProgress
from raybind.config.audit import AuditConfig
from raybind.data.audit import VIEWS, AuditReport, report
from raybind.data.faults import BadSample, to_jsonl
from raybind.data.storage import open_storage
from raybind.evaluation.sheet import Sheet, sheets_markdown
from raybind.integrations.ray_audit import audit_shards
from raybind.integrations.ray_cluster import connect
from raybind.modalities import get_modality


def run(config: AuditConfig) -> None:
    """Audit and report. Raises: RayBindError: the storage could not be reached."""
    splits, data = indices(config), config.data
    shape = get_modality(data.modality).input_shape(config.image_size, data.preprocess)
    connect()
    total = sum(len(index.shards) for index in splits.values())
    audited = audit_shards(splits, data, shape, config.num_cpus)
    progress = ShardProgress(console, "read", "samples")
    shards = list(progress.show(audited, total, lambda shard: len(shard.seen) + len(shard.bad)))
    found = report(next(iter(splits.values())), data.text_source, shards)
    bad = [sample for shard in shards for sample in shard.bad]
    sheets = _sheets(found, bad)
    for sheet in sheets:
        show_sheet(sheet)
    output = open_storage(config.output)
    output.write("audit.json", found.model_dump_json(indent=1).encode())
    output.write("audit.md", sheets_markdown(sheets).encode())
    output.write("skip.jsonl", to_jsonl(bad).encode())
    console.print(f"audit.json, audit.md and skip.jsonl ({len(bad)} samples) are in {config.output}")


def _sheets(found: AuditReport, bad: Iterable[BadSample]) -> list[Sheet]:
    names = tuple(found.splits)
    splits = found.splits.values()
    rows: list[tuple[str, ...]] = [
        ("samples", *(f"{split.num_samples:,}" for split in splits)),
        ("bad", *(f"{split.num_bad:,}" for split in splits)),
        ("shards", *(f"{split.num_shards:,}" for split in splits)),
        ("size", *(filesize.decimal(split.num_bytes) for split in splits)),
        ("words per text", *(f"{split.words_per_text:.1f}" for split in splits)),
        *((f"with {view}", *(f"{split.views.get(view, 0):,}" for split in splits)) for view in VIEWS),
    ]
    sheets = [Sheet(f"{found.modality}, texts: {found.text_source}", "", ("", *names), rows)]
    examples = {sample.cause: sample.id for sample in bad}
    if found.causes:
        causes = [(cause, f"{count:,}", examples[cause]) for cause, count in found.causes.items()]
        sheets.append(Sheet("Bad samples", "all are in skip.jsonl", ("cause", "samples", "for example"), causes))
    same = found.duplicates
    if same.num_groups:
        note = f"{same.across_splits:,} groups lie in more than one split"
        rows = [(f"group {place}", ", ".join(group[:4])) for place, group in enumerate(same.examples, start=1)]
        title = f"{same.num_samples:,} samples in {same.num_groups:,} groups hold the same media"
        sheets.append(Sheet(title, note, ("for example", "samples"), rows))
    return sheets
