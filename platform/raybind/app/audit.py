"""The audit job: every sample of a data set is read as training would read it."""

from raybind.app.cli import run_job
from raybind.config.audit import AuditConfig
from raybind.data.manifest import SplitIndex, read_manifest, read_split
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from raybind.integrations.object_store import check_location
from raybind.modalities import check_modality

EXAMPLES = """examples:
  python jobs/audit.py data.root=s3://vidal data.modality=depth output=audit
  python jobs/train.py --config jobs/presets/depth.yaml data.root=s3://vidal data.skip_list=audit/skip.jsonl"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/audit.py`. Returns: the exit code."""
    return run_job("Read every sample of a data set and list what is wrong.", AuditConfig, run, check, argv, EXAMPLES)


def check(config: AuditConfig) -> None:
    """Raises: ConfigError: no such data, modality or split, or an output that cannot be written."""
    check_modality(config.data.modality)
    check_location("data.root", config.data.root)
    open_storage(config.output).check_writable()
    manifest = read_manifest(open_storage(config.data.root), config.data.modality)
    unknown = sorted(set(config.splits or ()) - manifest.splits.keys())
    if unknown:
        raise ConfigError(f"splits={unknown}: there are {sorted(manifest.splits)} in {config.data.root}")


def indices(config: AuditConfig) -> dict[str, SplitIndex]:
    """The sample index of every split that is read."""
    root = open_storage(config.data.root)
    splits = config.splits or read_manifest(root, config.data.modality).splits
    return {split: read_split(root, config.data.modality, split) for split in splits}


def run(config: AuditConfig) -> None:
    """Audit and report. Raises: RayBindError: the storage could not be reached."""
    # Ray takes seconds to import, which `--check` must not wait for.
    from raybind.app.audit_run import run as run_checked

    run_checked(config)
