"""Texts to token ids with CLIP's byte-pair vocabulary.

The vocabulary is 256 bytes, the same with an end-of-word mark, the merges in order of frequency, start and end of text.
A text tower with a smaller `vocab_size` (the tiny base) uses the first merges of the same list, so every text still has
a tokenisation and the end token stays the largest id.
"""

import gzip
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from open_clip.tokenizer import SimpleTokenizer, default_bpe

from raybind.errors import ConfigError

_NUM_BYTE_TOKENS = 512
_NUM_SPECIAL_TOKENS = 2
_NUM_MERGES = 48_894
SMALLEST_VOCABULARY = _NUM_BYTE_TOKENS + _NUM_SPECIAL_TOKENS
LARGEST_VOCABULARY = SMALLEST_VOCABULARY + _NUM_MERGES


def is_clip_vocabulary(vocab_size: int) -> bool:
    """Whether a text tower of this size can take the tokens of CLIP's vocabulary or of its beginning."""
    return SMALLEST_VOCABULARY <= vocab_size <= LARGEST_VOCABULARY


class Tokenizer:
    """Callable from texts to token ids of a fixed context length."""

    def __init__(self, vocab_size: int, context_length: int) -> None:
        """Raises: ConfigError: the vocabulary is not a beginning of CLIP's."""
        if not is_clip_vocabulary(vocab_size):
            raise ConfigError(
                f"a vocabulary of {vocab_size} tokens is not CLIP's, which has {SMALLEST_VOCABULARY} (bytes only) to "
                f"{LARGEST_VOCABULARY}; give token ids instead of texts"
            )
        self._tokenize = _clip_tokenizer(vocab_size)
        self.context_length = context_length
        self.vocab_size = vocab_size

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), context_length) int64: start, tokens, end, zeros; a longer text is cut before its end token."""
        return self._tokenize(list(texts), context_length=self.context_length).numpy()

    @property
    def vocabulary(self) -> dict[str, int]:
        """Token to id."""
        return self._tokenize.encoder

    @property
    def merges(self) -> list[tuple[str, ...]]:
        """The pairs of tokens that are joined, the most frequent first."""
        return list(self._tokenize.bpe_ranks)

    @property
    def special_tokens(self) -> tuple[str, str]:
        """Start and end of text."""
        start, end = list(self._tokenize.encoder)[-_NUM_SPECIAL_TOKENS:]
        return start, end


@lru_cache
def _clip_tokenizer(vocab_size: int) -> SimpleTokenizer:
    num_merges = vocab_size - _NUM_BYTE_TOKENS - _NUM_SPECIAL_TOKENS
    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")[: 1 + num_merges]
    with tempfile.NamedTemporaryFile(suffix=".txt.gz") as file:
        file.write(gzip.compress("\n".join(lines).encode()))
        file.flush()
        return SimpleTokenizer(file.name)
