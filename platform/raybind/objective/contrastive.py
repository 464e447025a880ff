"""Symmetric InfoNCE over the global batch.

Similarities are compared a chunk of rows at a time, and computed again in the backward pass, so that no B x G matrix is
ever held.

Legend: B local batch, G global batch (B * world_size), C rows of a chunk, E embedding_dim.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 64 << 20
"""Of a chunk's similarities; the backward pass holds about three times as much."""


def contrastive_loss(modality_BE: Tensor, text_BE: Tensor, scale: Tensor, valid_B: Tensor) -> Tensor:
    """This rank's share of Eq. (3), symmetric: (L_M2T + L_T2M) / 2 over the global batch.

    Each rank compares its B rows with all G columns. Gathering carries gradients, so that the mean over ranks of the
    returned value, and of its gradients, is the loss (and its gradients) of one process holding the global batch.
    A sample that is not valid is neither a positive nor a negative: nothing takes its place.

    Args:
        modality_BE: unit-norm features, float32.
        text_BE: unit-norm features, float32; row i belongs to row i of `modality_BE`.
        scale: (1,) 1 / tau.
        valid_B: bool.
    Returns: scalar, nats. 0 where no sample of the global batch is valid.
    Reference: LanguageBind, Sec. 3.2, Eq. (3).
    """
    modality_GE, text_GE = gather(modality_BE), gather(text_BE)
    valid_G = gather(valid_B)
    first = _rank() * len(modality_BE)
    target_B = torch.arange(first, first + len(modality_BE), device=modality_BE.device)
    rows = _rows_loss(scale * modality_BE, text_GE, target_B, valid_G, valid_B)
    columns = _rows_loss(scale * text_BE, modality_GE, target_B, valid_G, valid_B)
    world_size = len(modality_GE) // len(modality_BE)
    return (rows + columns) / 2 * world_size / valid_G.sum().clamp(min=1)


def gather(x: Tensor) -> Tensor:
    """Concatenate `x` of all ranks, in the order of ranks; gradients flow back to the rank they belong to."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    """All-gather whose backward pass sums the gradients of all ranks and keeps this rank's rows.

    torch's own differentiable gathers are deprecated or private in 2.14.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient_GE = gradients[0].contiguous()
        dist.all_reduce(gradient_GE)
        return gradient_GE.chunk(dist.get_world_size())[dist.get_rank()]


def _rows_loss(rows_BE: Tensor, columns_GE: Tensor, target_B: Tensor, valid_G: Tensor, valid_B: Tensor) -> Tensor:
    """Sum over the valid rows of the cross entropy against the valid columns."""
    chunk = max(1, CHUNK_BYTES // (4 * len(columns_GE)))
    if len(rows_BE) <= chunk:
        return _chunk_loss(rows_BE, columns_GE, target_B, valid_G, valid_B)
    chunks = zip(rows_BE.split(chunk), target_B.split(chunk), valid_B.split(chunk), strict=True)
    total = rows_BE.new_zeros(())
    for rows_CE, target_C, valid_C in chunks:
        total = total + checkpoint(
            _chunk_loss, rows_CE, columns_GE, target_C, valid_G, valid_C, use_reentrant=False, preserve_rng_state=False
        )
    return total


def _chunk_loss(rows_CE: Tensor, columns_GE: Tensor, target_C: Tensor, valid_G: Tensor, valid_C: Tensor) -> Tensor:
    smallest = torch.finfo(rows_CE.dtype).min
    logits_CG = (rows_CE @ columns_GE.T).masked_fill(~valid_G, smallest)
    losses_C = F.cross_entropy(logits_CG, target_C, reduction="none")
    return losses_C.masked_fill(~valid_C, 0).sum()


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
