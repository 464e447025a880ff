"""The packing job: media of a source -> shards with a manifest, on a local path or in object storage."""

from dataclasses import dataclass

from rich.console import Console

from raybind.app.cli import run_job
from raybind.app.pack_console import print_summary
from raybind.app.shard_progress import ShardProgress
from raybind.config.pack import PackConfig, ShardsConfig
from raybind.construction.pack_chunk import ChunkPacker
from raybind.construction.pack_plan import PackPlan, make_plan
from raybind.construction.pack_report import REPORT_NAME, read_report
from raybind.construction.packing import check_output, discard_stale, finish, finished_shards, remaining_work
from raybind.construction.sources import Source, open_source
from raybind.data.storage import Storage, open_storage
from raybind.errors import DataError

_EXAMPLES = """examples:
  a folder with annotations.jsonl, two of its modalities, to a bucket:
    python jobs/pack.py source.kind=jsonl source.location=data/nyu output=s3://bucket/nyu modalities=[depth,image]
  the official VIDAL layout, all modalities:
    python jobs/pack.py source.kind=vidal source.location=/data/vidal source.annotations=captions.json output=shards
  the built-in synthetic world:
    python jobs/pack.py source.kind=tiny_vidal output=shards/tiny

A packing that was stopped goes on where it was when the same command is run again."""


@dataclass(frozen=True)
class PackingJob:
    """A packing job whose configuration has been found to work here."""

    source: Source
    root: Storage
    plan: PackPlan
    modalities: tuple[str, ...]
    """Those that are not complete at the output yet."""


def main(argv: list[str] | None = None) -> int:
    """Run from the command line. Returns: the process exit code."""
    checked: list[PackingJob] = []
    return run_job(
        "Pack media and their texts into shards for training.",
        PackConfig,
        run=lambda config: _run(config, checked[0]),
        check=lambda config: checked.append(_check(config)),
        argv=argv,
        examples=_EXAMPLES,
    )


def _check(config: PackConfig) -> PackingJob:
    return check_packing(open_source(config), open_storage(config.output), config)


def check_packing(source: Source, root: Storage, config: ShardsConfig) -> PackingJob:
    """List a source and look at the output. Raises: ConfigError."""
    plan = make_plan(source, config.modalities, config.samples_per_shard)
    return PackingJob(source, root, plan, check_output(root, plan, config.overwrite))


def run_packing(console: Console, config: ShardsConfig, job: PackingJob) -> None:
    """Pack what is left to pack, and say what was packed. Raises: RayBindError."""
    if job.modalities:
        _pack(console, config, job)
    else:
        console.print(f"{job.root.root} is complete already; overwrite=true packs it again", soft_wrap=True)
    print_summary(console, read_report(job.root), job.plan.modalities)


def _run(config: PackConfig, job: PackingJob) -> None:
    console = Console()
    run_packing(console, config, job)
    console.print(f"Shards and {REPORT_NAME} are in {config.output}", soft_wrap=True)


def _pack(console: Console, config: ShardsConfig, job: PackingJob) -> None:
    discard_stale(job.root, job.plan, job.modalities)
    packed = finished_shards(job.root, job.plan, job.modalities)
    work = remaining_work(job.plan, job.modalities, packed)
    if packed:
        console.print(f"going on: {len(packed)} shards of an earlier run are kept")
    if work:
        # Ray takes seconds to import; --check and a resumed run with nothing left do without it.
        from raybind.integrations.ray_pack import pack_chunks, start_ray

        start_ray(config.num_cpus)
        packer = ChunkPacker(job.source, job.root, job.plan.digest)
        num_shards = sum(len(modalities) for _, modalities in work)
        shards = pack_chunks(packer, work, config.num_cpus)
        packed += ShardProgress(console, "packed", "samples").show(shards, num_shards, lambda one: len(one.shard.ids))
    try:
        finish(job.root, job.plan, job.source.name, job.modalities, packed)
    except DataError:
        print_summary(console, read_report(job.root), job.modalities)
        raise
