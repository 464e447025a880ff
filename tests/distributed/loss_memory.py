"""Prints the peak memory in bytes, beyond that of a tiny loss, of the loss of G pairs and its gradients.

    python loss_memory.py G

The features and their gradients count: of 512 dimensions, float32.
"""

import resource
import sys

import torch
import torch.nn.functional as F

from raybind.objective.contrastive import contrastive_loss

EMBEDDING_DIM = 512


def run(num_pairs: int) -> None:
    """Loss and gradients of random pairs."""
    x, y = (F.normalize(torch.randn(num_pairs, EMBEDDING_DIM), dim=-1).requires_grad_() for _ in range(2))
    scale = torch.tensor([100.0], requires_grad=True)
    contrastive_loss(x, y, scale, torch.ones(num_pairs, dtype=torch.bool)).backward()


def peak_bytes() -> int:
    """Resident memory at its highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    torch.manual_seed(0)
    run(64)
    before = peak_bytes()
    run(int(sys.argv[1]))
    print(peak_bytes() - before)
