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

_NUM_BYTE_TOKENS = 512
_NUM_SPECIAL_TOKENS = 2


class Tokenizer:
    """Callable from texts to token ids of a fixed context length."""

    def __init__(self, vocab_size: int, context_length: int) -> None:
        self._tokenize = _clip_tokenizer(vocab_size)
        self.context_length = context_length
        self.vocab_size = vocab_size

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), context_length) int64: start, tokens, end, zeros; a longer text is cut before its end token."""
        return self._tokenize(list(texts), context_length=self.context_length).numpy()


@lru_cache
def _clip_tokenizer(vocab_size: int) -> SimpleTokenizer:
    num_merges = vocab_size - _NUM_BYTE_TOKENS - _NUM_SPECIAL_TOKENS
    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")[: 1 + num_merges]
    with tempfile.NamedTemporaryFile(suffix=".txt.gz") as file:
        file.write(gzip.compress("\n".join(lines).encode()))
        file.flush()
        return SimpleTokenizer(file.name)
