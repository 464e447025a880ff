"""Running a text embedding: shards, then prompts, then the record that says the cache is complete."""

from raybind.app.console import console
from raybind.app.shard_progress import ShardProgress
from raybind.app.validation import spread
from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex, read_manifest, read_split
from raybind.data.shard_reader import read_many_metadata
from raybind.data.storage import Storage, open_storage
from raybind.data.text_cache import FOLDER, CacheRecord, places_name, write_prompts, write_record
from raybind.errors import ConfigError
from raybind.evaluation.items import DEFAULT_LABEL_SET
from raybind.integrations.ray_cluster import connect
from raybind.integrations.ray_text import TextActors, embed_prompts, embed_shards
from raybind.modalities import get_modality
from raybind.model.architecture import encoder_architecture, read_architecture
from raybind.model.base import load_base
from raybind.model.prompts import modality_templates
from raybind.training.text_embeddings import key_of


def run(config: TrainConfig) -> None:
    """Embed what is not embedded yet. Raises: ConfigError: no base; RayBindError: a shard could not be read."""
    data, base, cluster = config.data, config.model.base, config.cluster
    if base.weights is None:
        raise ConfigError("model.base.weights=None has no language encoder to take embeddings from; name a base")
    root = open_storage(data.root)
    indices = {split: read_split(root, data.modality, split) for split in read_manifest(root, data.modality).splits}
    fingerprint = load_base(read_architecture(base.architecture), base.weights).fingerprint
    digest = next(iter(indices.values())).manifest_digest
    key = key_of(config, fingerprint, digest)
    cache = root.below(f"{data.modality}/{FOLDER}/{key}")
    connect()
    actors = TextActors(cluster.num_workers, cluster.worker_cpus, cluster.threads_per_worker, cluster.use_gpu)
    _embed_shards(config, actors, indices, cache)
    prompts = _prompts(config, indices)
    write_prompts(cache, embed_prompts(actors, config.model, prompts))
    arch = encoder_architecture(config.model, None)
    record = CacheRecord(
        base_fingerprint=fingerprint,
        context_length=arch.text.context_length,
        manifest_digest=digest,
        embedding_dim=arch.embedding_dim,
    )
    write_record(cache, record)
    console.print(f"{len(prompts):,} prompts; complete: {cache.root}")


def _embed_shards(config: TrainConfig, actors: TextActors, indices: dict[str, SplitIndex], cache: Storage) -> None:
    stored = set(cache.children())
    shards = [(split, n) for split, index in indices.items() for n in range(len(index.shards))]
    work = [(split, n) for split, n in shards if places_name(indices[split].shards[n].name) not in stored]
    if len(work) < len(shards):
        console.print(f"{len(shards) - len(work)} of {len(shards)} shards are embedded already")
    if work:
        embedded = embed_shards(actors, config.model, indices, work, cache)
        for _ in ShardProgress(console, "embedded", "texts").show(embedded, len(work), lambda num_texts: num_texts):
            pass


def _prompts(config: TrainConfig, indices: dict[str, SplitIndex]) -> list[str]:
    """What zero-shot validation will ask: the classes of the samples it looks at, in every template."""
    validation, modality = config.validation, config.data.modality
    if validation.split is None or validation.split not in indices:
        return []
    index = indices[validation.split]
    candidates = [validation.label_set] if validation.label_set is not None else [modality, DEFAULT_LABEL_SET]
    found = read_many_metadata(index, spread(len(index), validation.max_samples))
    names = sorted({one.labels[name] for one in found for name in candidates if name in one.labels})
    templates = validation.templates or modality_templates(get_modality(modality).photo_words)
    return [template.replace("{}", name) for name in names for template in templates]
