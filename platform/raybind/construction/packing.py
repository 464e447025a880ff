"""A packing job around its parallel part: what is there already, what is left to do, and how it ends.

    check_output -> discard_stale -> finished_shards -> remaining_work -> (ChunkPacker, in parallel) -> finish

The manifest of a modality is written when all its shards are stored, so its presence says that the modality is
complete; a packing killed at any moment before that is taken up again from the shards' records.
"""

import re
from collections.abc import Iterable, Sequence

from raybind.construction.pack_chunk import STATE_FOLDER, PackedShard
from raybind.construction.pack_plan import Chunk, PackPlan
from raybind.construction.pack_report import REPORT_NAME, PackReport, read_report, report_modality
from raybind.data.manifest import MANIFEST_NAME, read_manifest, read_split
from raybind.data.storage import Storage
from raybind.data.writer import write_manifest
from raybind.errors import ConfigError, DataError

Work = list[tuple[Chunk, tuple[str, ...]]]
"""Chunks, each with the modalities in which it has no shard yet."""

_SHARD_FILE = re.compile(r"\w+-\d{6,}\.tar(\.partial-\d+)?")


def check_output(root: Storage, plan: PackPlan, overwrite: bool) -> tuple[str, ...]:
    """Which modalities of the plan are to be packed: those that are not complete here already.

    Raises:
        ConfigError: the output is not writable, holds a modality of another plan, or has an id in another split.
    """
    root.check_writable()
    complete = _complete_modalities(root)
    report = read_report(root)
    same = {m for m in complete if m in report.modalities and report.modalities[m].plan_digest == plan.digest}
    foreign = [modality for modality in plan.modalities if modality in complete - same]
    if foreign and not overwrite:
        raise ConfigError(
            f"{root.root} already holds {', '.join(foreign)}, packed from another source or with other settings; "
            "choose another output, or pass overwrite=true to replace it"
        )
    replaced = tuple(m for m in plan.modalities if overwrite or m not in complete)
    _check_splits_agree(root, plan, complete - same - set(replaced))
    return replaced


def discard_stale(root: Storage, plan: PackPlan, modalities: Iterable[str]) -> None:
    """Remove what cannot be resumed: a manifest that is replaced, and the records of shards of another plan."""
    for modality in modalities:
        folder = root.below(modality)
        if folder.exists(MANIFEST_NAME):
            folder.delete(MANIFEST_NAME)
            folder.delete_folder(STATE_FOLDER)
        for digest in folder.children(STATE_FOLDER):
            if digest != plan.digest:
                folder.delete_folder(f"{STATE_FOLDER}/{digest}")


def finished_shards(root: Storage, plan: PackPlan, modalities: Iterable[str]) -> list[PackedShard]:
    """Shards that an earlier, unfinished run of the same plan has stored."""
    found = []
    for modality in modalities:
        folder = root.below(f"{modality}/{STATE_FOLDER}/{plan.digest}")
        found += [
            PackedShard.model_validate_json(folder.read(name)) for name in folder.children() if name[-5:] == ".json"
        ]
    return found


def remaining_work(plan: PackPlan, modalities: Sequence[str], finished: Iterable[PackedShard]) -> Work:
    """What is left to pack, in the order of the plan."""
    done = {(packed.modality, packed.shard.name) for packed in finished}
    work = [
        (chunk, tuple(m for m in modalities if chunk.has(m) and (m, chunk.shard_name) not in done))
        for chunk in plan.chunks
    ]
    return [(chunk, left) for chunk, left in work if left]


def finish(
    root: Storage, plan: PackPlan, source: str, modalities: Sequence[str], packed: Iterable[PackedShard]
) -> PackReport:
    """Write the report, then the manifests, then remove what packing left behind.

    Raises:
        DataError: a modality has no packed sample at all; the report, which says why, is written, its manifest is not.
    """
    order = {chunk.shard_name: place for place, chunk in enumerate(plan.chunks)}
    in_order = sorted(packed, key=lambda shard: order[shard.shard.name])
    by_modality = {name: [shard for shard in in_order if shard.modality == name] for name in modalities}
    report = read_report(root)
    for modality, shards in by_modality.items():
        report = report.with_modality(modality, report_modality(plan, source, modality, shards))
    root.write(REPORT_NAME, report.to_bytes())
    errors = [error for name, shards in by_modality.items() if (error := _complete(root.below(name), name, shards))]
    if errors:
        raise DataError(f"{'; '.join(errors)}. The causes are in {root.root}/{REPORT_NAME}")
    return report


def _complete(folder: Storage, modality: str, shards: Sequence[PackedShard]) -> str | None:
    """Write one manifest and clean up; the message, where there is nothing to make a manifest of."""
    kept = {shard.shard.name for shard in shards if shard.shard.ids}
    if kept:
        splits: dict[str, list] = {}
        for shard in shards:
            splits.setdefault(shard.split, []).append(shard.shard)
        write_manifest(folder, modality, splits)
    for name in folder.children():
        if _SHARD_FILE.fullmatch(name) and name not in kept:
            folder.delete(name)
    folder.delete_folder(STATE_FOLDER)
    return None if kept else f"no sample of {modality} could be packed"


def _complete_modalities(root: Storage) -> set[str]:
    return {name for name in root.children() if root.exists(f"{name}/{MANIFEST_NAME}")}


def _check_splits_agree(root: Storage, plan: PackPlan, others: set[str]) -> None:
    splits = {item.id: item.split for item in plan.items}
    for modality in sorted(others):
        for split in read_manifest(root, modality).splits:
            for sample_id in read_split(root, modality, split).ids:
                if splits.get(sample_id, split) != split:
                    raise ConfigError(
                        f"{sample_id} is in split {split!r} of {root.root}/{modality}, but would be in "
                        f"{splits[sample_id]!r} now; use the same seed and val_fraction, or another output"
                    )
