"""Texts to embeddings in batches, the way evaluation asks for them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raybind.model.tokenizer import Tokenizer

TEXTS_PER_BATCH = 256


def text_encoder(
    language: Callable[[Tensor], Tensor], tokenizer: Tokenizer, device: torch.device
) -> Callable[[Sequence[str]], Tensor]:
    """A function from texts to (len(texts), E) unit vectors on the CPU, without gradients."""

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> Tensor:
        batches = [texts[first : first + TEXTS_PER_BATCH] for first in range(0, len(texts), TEXTS_PER_BATCH)]
        return torch.cat([language(torch.from_numpy(tokenizer(batch)).to(device)).cpu() for batch in batches])

    return encode


def remembering(encode: Callable[[Sequence[str]], Tensor]) -> Callable[[Sequence[str]], Tensor]:
    """The same function for a frozen language encoder: each text is encoded once, in the order it first came."""
    known: dict[str, Tensor] = {}

    def encode_new(texts: Sequence[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encode(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return encode_new
