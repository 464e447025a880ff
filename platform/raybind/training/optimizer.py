"""AdamW and which parameters decay."""

from typing import Any

import torch
from torch import nn

from raybind.config.train import OptimizerConfig
from raybind.model.bound import trainable_parameters


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, with and without weight decay."""
    return torch.optim.AdamW(
        parameter_groups(model, config.weight_decay), lr=config.lr, betas=config.betas, eps=config.eps
    )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay for matrices; none for what has one dimension (biases, norms, class token, logit_scale) and the patch
    embedding, as in the official training code. Empty groups are left out.
    """
    groups = ({"params": [], "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0})
    for name, parameter in trainable_parameters(model).items():
        groups[parameter.ndim < 2 or "patch_embedding" in name]["params"].append(parameter)
    return [group for group in groups if group["params"]]
