"""Symmetric InfoNCE over the global batch.

Legend: B local batch, G global batch (B * world_size), E embedding_dim.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


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
    rows = _rows_loss(scale * modality_BE @ text_GE.T, target_B, valid_G, valid_B)
    columns = _rows_loss(scale * text_BE @ modality_GE.T, target_B, valid_G, valid_B)
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


def _rows_loss(logits_BG: Tensor, target_B: Tensor, valid_G: Tensor, valid_B: Tensor) -> Tensor:
    """Sum over the valid rows of the cross entropy against the valid columns."""
    smallest = torch.finfo(logits_BG.dtype).min
    losses_B = F.cross_entropy(logits_BG.masked_fill(~valid_G, smallest), target_B, reduction="none")
    return losses_B.masked_fill(~valid_B, 0).sum()


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
