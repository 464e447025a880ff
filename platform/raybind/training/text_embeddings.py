"""Training on the embeddings of texts that a frozen language encoder made before: where they are, and what is missing.

In the flow: `jobs/embed_text.py` makes them (`data.text_cache`), readers hand them out with the samples, and validation
asks for captions and prompts (`evaluation.known_texts`).
"""

from raybind.config.train import TrainConfig
from raybind.data.manifest import SplitIndex
from raybind.data.storage import Storage
from raybind.data.text_cache import FOLDER, TextCache, cache_key, open_cache
from raybind.errors import ConfigError
from raybind.model.architecture import encoder_architecture


def key_of(config: TrainConfig, base_fingerprint: str, manifest_digest: str) -> str:
    """Name of the cache that a configuration needs."""
    context_length = encoder_architecture(config.model, None).text.context_length
    return cache_key(base_fingerprint, context_length, manifest_digest)


def check_cache_exists(config: TrainConfig, index: SplitIndex) -> None:
    """A check that loads no weights. Raises: ConfigError: there are no embeddings of this data set's texts."""
    suffix = key_of(config, "", index.manifest_digest)
    if not any(name.endswith(suffix) for name in index.storage.children(FOLDER)):
        raise _missing(config, index.storage)


def require_cache(config: TrainConfig, index: SplitIndex, base_fingerprint: str) -> TextCache:
    """The embeddings of a split's texts. Raises: ConfigError: there are none of this base and these data."""
    cache = open_cache(index, key_of(config, base_fingerprint, index.manifest_digest))
    if cache is None:
        raise _missing(config, index.storage)
    return cache


def _missing(config: TrainConfig, modality: Storage) -> ConfigError:
    base = config.model.base
    return ConfigError(
        f"data.text_embeddings=cached, but {modality.root}/{FOLDER} has no embeddings of these data by the base "
        f"{base.architecture} {base.weights}. Make them with the same configuration:\n"
        "  python jobs/embed_text.py (the arguments of this command)\n"
        "or let the language encoder run in every step: data.text_embeddings=computed"
    )
