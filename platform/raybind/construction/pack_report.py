"""What was packed and what was not: `<root>/pack-report.json`, one section per modality.

Every sample of the source is counted once per modality: packed, absent (the source announces no such modality for it)
or failed (listed with its cause).
"""

import json
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from raybind.construction.pack_chunk import FailedSample, PackedShard, failed_sample
from raybind.construction.pack_plan import PackPlan
from raybind.data.storage import Storage
from raybind.errors import DataError

REPORT_NAME = "pack-report.json"


class ModalityReport(BaseModel):
    """The counts of one modality: total = sum of packed + absent + number of failed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    plan_digest: str
    total: int
    """Samples that the source lists."""
    packed: dict[str, int]
    """Samples by split."""
    absent: int
    """Samples for which the source announces no such modality."""
    failed: tuple[FailedSample, ...]
    num_shards: int
    num_bytes: int


class PackReport(BaseModel):
    """`pack-report.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: dict[str, ModalityReport] = {}

    def with_modality(self, modality: str, report: ModalityReport) -> "PackReport":
        """A copy in which this modality's section is new."""
        return PackReport(modalities={**self.modalities, modality: report})

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same outcome always gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1).encode()


def report_modality(plan: PackPlan, source: str, modality: str, packed: Sequence[PackedShard]) -> ModalityReport:
    """Count one modality.

    Args:
        source: name of the source.
        packed: all its shards, in the order of the plan.
    """
    listed = [
        failed_sample(item, modality, item.problem or "") for item in plan.unpackable if modality in item.modalities
    ]
    failed = (*listed, *(sample for shard in packed for sample in shard.failed))
    counts = Counter({shard.split: 0 for shard in packed})
    for shard in packed:
        counts[shard.split] += len(shard.shard.ids)
    return ModalityReport(
        source=source,
        plan_digest=plan.digest,
        total=len(plan.items),
        packed=dict(counts),
        absent=sum(modality not in item.modalities for item in plan.items),
        failed=failed,
        num_shards=sum(bool(shard.shard.ids) for shard in packed),
        num_bytes=sum(shard.shard.num_bytes for shard in packed),
    )


def read_report(root: Storage) -> PackReport:
    """The report at this root; an empty one where there is none. Raises: DataError: it is not a report."""
    try:
        return PackReport.model_validate_json(root.read(REPORT_NAME))
    except FileNotFoundError:
        return PackReport()
    except ValidationError as error:
        raise DataError(f"{root.root}/{REPORT_NAME} is not a packing report: {error}; remove it") from None
