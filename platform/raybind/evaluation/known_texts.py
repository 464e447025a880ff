"""Embeddings of texts that were made before, in the place of a language encoder."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raybind.data.text_cache import TextCache, text_digest
from raybind.errors import ConfigError


class KnownTexts:
    """`EncodeTexts` for the texts of some samples and for the prompts."""

    def __init__(self, cache: TextCache, numbers: Sequence[int]) -> None:
        self._storage = cache.storage
        self._known: dict[bytes, np.ndarray] = cache.read_prompts()
        for number in dict.fromkeys(numbers):
            self._known |= cache.read_sample(number)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """(len(texts), E) unit vectors. Raises: ConfigError: a text that was not embedded; names it."""
        found = [self._known.get(text_digest(text)) for text in texts]
        for text, embedding in zip(texts, found, strict=True):
            if embedding is None:
                raise ConfigError(
                    f"no embedding of {text!r} in {self._storage.root}; its prompts were made for another "
                    "validation.label_set or validation.templates: run jobs/embed_text.py with this configuration"
                )
        return torch.from_numpy(np.stack([embedding for embedding in found if embedding is not None]))
