"""Reading a data set as training would, and what is found: samples that cannot be read, texts, sizes, duplicates.

In the flow: `jobs/audit.py` audits shards in parallel and puts the parts together here. The list of bad samples has the
form of a run's quarantine and is a skip list for training.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from raybind.config.data import DataConfig
from raybind.data.faults import BadSample
from raybind.data.manifest import SplitIndex
from raybind.data.reader import choose_frame
from raybind.data.sample import MediaFile, SampleMetadata
from raybind.data.shard_reader import read_sample
from raybind.data.texts import texts_of, view_of
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape

VIEWS = ("raw", "keyframes", "video", "enhanced", "sound", "captions")
EXAMPLES = 10


class Seen(BaseModel):
    """A sample that could be read."""

    model_config = ConfigDict(frozen=True)

    id: str
    digest: str
    """Of its media: equal for samples that hold the same files."""


class ShardAudit(BaseModel):
    """What was found in one shard."""

    model_config = ConfigDict(frozen=True)

    split: str
    num_bytes: int
    seen: tuple[Seen, ...]
    bad: tuple[BadSample, ...]
    views: dict[str, int]
    """Samples that have a text of each view."""
    text_words: int
    """Words of the texts that training would choose from, and how many texts these are."""
    num_texts: int


class Duplicates(BaseModel):
    """Samples that hold the same media."""

    num_groups: int
    num_samples: int
    across_splits: int
    """Groups that lie in more than one split: what is evaluated on was trained on."""
    examples: tuple[tuple[str, ...], ...]
    """`split/id` of the samples of some groups, those across splits first."""


class SplitAudit(BaseModel):
    """One split in figures."""

    num_samples: int
    num_bad: int
    num_shards: int
    num_bytes: int
    views: dict[str, int]
    words_per_text: float


class AuditReport(BaseModel):
    """`audit.json`."""

    modality: str
    manifest_digest: str
    text_source: str
    splits: dict[str, SplitAudit]
    causes: dict[str, int]
    """Bad samples by cause."""
    duplicates: Duplicates


def audit_shard(index: SplitIndex, shard: int, config: DataConfig, shape: InputShape) -> ShardAudit:
    """Read every sample of a shard: checksum, json, text, decoding, transform."""
    seen, bad, views, words, num_texts = [], [], Counter[str](), 0, 0
    for number in np.flatnonzero(index.shard == shard).tolist():
        try:
            metadata, media = read_sample(index, number)
            texts = _check(metadata, media, config, shape)
        except DataError as error:
            bad.append(BadSample(index.shards[shard].name, str(index.ids[number]), error.cause, str(error)))
            continue
        seen.append(Seen(id=metadata.id, digest=_digest(media)))
        views.update(view for view in VIEWS if getattr(metadata.texts, view))
        words += sum(len(text.split()) for text in texts)
        num_texts += len(texts)
    return ShardAudit(
        split=index.split,
        num_bytes=int(index.length[index.shard == shard].sum()),
        seen=tuple(seen),
        bad=tuple(bad),
        views=dict(views),
        text_words=words,
        num_texts=num_texts,
    )


def report(index: SplitIndex, text_source: str, shards: Sequence[ShardAudit]) -> AuditReport:
    """Put the audits of all shards together; `index` is that of any split."""
    names = dict.fromkeys(shard.split for shard in shards)
    bad = [sample for shard in shards for sample in shard.bad]
    return AuditReport(
        modality=index.modality,
        manifest_digest=index.manifest_digest,
        text_source=text_source,
        splits={name: _split([shard for shard in shards if shard.split == name]) for name in names},
        causes=dict(Counter(sample.cause for sample in bad).most_common()),
        duplicates=_duplicates(shards),
    )


def _check(
    metadata: SampleMetadata, media: Sequence[MediaFile], config: DataConfig, shape: InputShape
) -> tuple[str, ...]:
    """Every key frame and every text that training might choose. Returns: the texts."""
    modality = get_modality(config.modality)
    view = view_of(metadata.texts, config.text_source, None)
    texts: list[str] = []
    for place in range(len(media)):
        frame, file = choose_frame(media, place)
        modality.transform(file.data, shape, config.preprocess)
        texts += texts_of(metadata.texts, view, frame)
    return tuple(dict.fromkeys(texts))


def _digest(media: Sequence[MediaFile]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in media:
        digest.update(hashlib.blake2b(file.data, digest_size=16).digest())
    return digest.hexdigest()


def _split(shards: Sequence[ShardAudit]) -> SplitAudit:
    views = sum((Counter(shard.views) for shard in shards), Counter[str]())
    num_bad = sum(len(shard.bad) for shard in shards)
    return SplitAudit(
        num_samples=sum(len(shard.seen) for shard in shards) + num_bad,
        num_bad=num_bad,
        num_shards=len(shards),
        num_bytes=sum(shard.num_bytes for shard in shards),
        views=dict(views),
        words_per_text=sum(shard.text_words for shard in shards) / max(1, sum(shard.num_texts for shard in shards)),
    )


def _duplicates(shards: Sequence[ShardAudit]) -> Duplicates:
    by_digest: dict[str, list[tuple[str, str]]] = {}
    for shard in shards:
        for sample in shard.seen:
            by_digest.setdefault(sample.digest, []).append((shard.split, sample.id))
    groups = [group for group in by_digest.values() if len(group) > 1]
    across = [group for group in groups if len({split for split, _ in group}) > 1]
    shown = [*across, *(group for group in groups if group not in across)][:EXAMPLES]
    return Duplicates(
        num_groups=len(groups),
        num_samples=sum(map(len, groups)),
        across_splits=len(across),
        examples=tuple(tuple(f"{split}/{name}" for split, name in group) for group in shown),
    )
