"""Trained encoders by their locations, and their embeddings: what evaluations share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from raybind import __version__
from raybind.app.console import console
from raybind.app.evaluate import find_checkpoint, is_directory
from raybind.app.shard_progress import ShardProgress
from raybind.config.benchmark import Views
from raybind.config.data import DataConfig
from raybind.config.evaluate import EvaluateConfig
from raybind.config.model import ModelConfig
from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex
from raybind.data.storage import open_storage
from raybind.evaluation.benchmark import views_of
from raybind.evaluation.embedding_cache import EmbeddingCache
from raybind.evaluation.items import EmbeddedItems, EncodeTexts
from raybind.integrations.ray_cluster import connect
from raybind.integrations.ray_embed import SplitViews, check_resources, embed_splits
from raybind.model.base import fingerprint
from raybind.model.encode import remembering, text_encoder
from raybind.model.layouts import read_encoder
from raybind.model.text import LanguageEncoder
from raybind.model.tokenizer import Tokenizer
from raybind.model.trained import TrainedEncoder
from raybind.training.checkpoint import read_state
from raybind.training.export import as_trained, trained_encoder
from raybind.training.task import starting_model


@dataclass(frozen=True)
class Encoder:
    """A trained encoder, and the run it comes from where it comes from one."""

    trained: TrainedEncoder
    location: str
    config: TrainConfig | None
    """None: an exported directory, or another's."""

    @cached_property
    def fingerprint(self) -> str:
        """Of its weights."""
        return fingerprint(self.trained.state)

    @cached_property
    def language_fingerprint(self) -> str:
        """Of the language encoder."""
        return fingerprint({name: value for name, value in self.trained.state.items() if name.startswith("language.")})

    def untrained(self) -> "Encoder | None":
        """As it was before training; None where that is not known."""
        if self.config is None:
            return None
        return replace(self, trained=as_trained(starting_model(self.config)[0], self.config))

    def of_images(self) -> "Encoder | None":
        """The base's own encoder of images, untouched by this training; None where the base is not known."""
        if self.config is None:
            return None
        as_images = self.config.model_copy(
            update={
                "data": DataConfig(root=self.config.data.root, modality="image"),
                "model": ModelConfig(base=self.config.model.base, tuning="full"),
            }
        )
        return Encoder(as_trained(starting_model(as_images)[0], as_images), self.location, as_images)


def open_encoder(location: str) -> Encoder:
    """The newest checkpoint of a run, a checkpoint, or a directory that `LanguageBind.from_pretrained` reads.

    Raises: ConfigError: none of these.
    """
    if is_directory(location):
        return Encoder(read_encoder(Path(location)), location, None)
    checkpoint = find_checkpoint(location)
    state = read_state(checkpoint.read("state.json"))
    return Encoder(trained_encoder(checkpoint, __version__), checkpoint.root, state.config)


@dataclass(frozen=True)
class Split:
    """A split to embed."""

    index: SplitIndex
    data: DataConfig
    views: Views = field(default_factory=Views)


class Embeddings:
    """Embeddings of items and texts, made over Ray and kept where the configuration says."""

    def __init__(self, config: EvaluateConfig) -> None:
        self._workers = config.workers
        self._cache = EmbeddingCache(open_storage(config.embeddings)) if config.embeddings is not None else None

    def items(self, encoder: Encoder, splits: Sequence[Split]) -> list[EmbeddedItems]:
        """All items of each split in the order of their ids, so that nothing depends on how they were packed.

        Raises: DataError: an item cannot be read; names it.
        """
        wanted = [
            SplitViews(split.index, split.data, views_of(encoder.trained.preprocess, split.views)) for split in splits
        ]
        if self._cache is None:
            return self._embed(encoder.trained, wanted)
        keys = [_depends_on(encoder, split) for split in wanted]
        found = {number: items for number, key in enumerate(keys) if (items := self._cache.items(key)) is not None}
        lost = [number for number in range(len(wanted)) if number not in found]
        for number, items in zip(lost, self._embed(encoder.trained, [wanted[n] for n in lost]), strict=True):
            self._cache.keep(keys[number], items)
            found[number] = items
        return [found[number] for number in range(len(wanted))]

    def texts(self, encoder: Encoder) -> EncodeTexts:
        """The language encoder's function."""
        language, text = encoder.trained.build().language, encoder.trained.arch.text
        assert isinstance(language, LanguageEncoder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = Tokenizer(text.vocab_size, text.context_length)
        encode = remembering(text_encoder(language.to(device), tokenizer, device))
        return self._cache.texts(encoder.language_fingerprint, encode) if self._cache is not None else encode

    def _embed(self, trained: TrainedEncoder, splits: Sequence[SplitViews]) -> list[EmbeddedItems]:
        if not splits:
            return []
        connect()
        check_resources(self._workers)
        num_batches = sum(-(-len(split.index) // self._workers.batch_size) for split in splits)
        progress = ShardProgress(console, f"{trained.modality}: embedded", "items", "batches")
        parts: list[list[EmbeddedItems]] = [[] for _ in splits]
        batches = embed_splits(trained, splits, self._workers)
        for number, part in progress.show(batches, num_batches, lambda batch: len(batch[1].items)):
            parts[number].append(part)
        return [
            EmbeddedItems.in_order_of(sorted(split.index.ids.tolist()), part)
            for split, part in zip(splits, parts, strict=True)
        ]


def _depends_on(encoder: Encoder, split: SplitViews) -> tuple[str, ...]:
    views = json.dumps([preprocess.model_dump(mode="json") for preprocess in split.views])
    return (encoder.fingerprint, split.index.digest, split.index.split, split.data.text_source, views)
