"""AdamW, which parameters decay, and which learn at a rate of their own.

CLIP4Clip (Table 12) was trained with BertAdam. It is AdamW without bias correction (its first updates are 0.7 of
AdamW's, the same after about 200 steps), with gradients clipped to norm 1 per tensor instead of over all of them;
decay is decoupled in both. AdamW is used for it too.
"""

from typing import Any

import torch
from torch import nn

from raybind.config.train import OptimizerConfig
from raybind.model.bound import trainable_parameters


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, in the groups of `parameter_groups`."""
    return torch.optim.AdamW(parameter_groups(model, config), lr=config.lr, betas=config.betas, eps=config.eps)


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Parameters by decay and learning rate, as in the official training code.

    Decay for matrices; none for what has one dimension (biases, norms, logit_scale), class tokens and the patch
    embedding. LoRA learns at the schedule's rate, all else at that times `lr_coefficient` of its group (the language
    encoder's is its own), which the engine applies in each step.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in trainable_parameters(model).items():
        decays = parameter.ndim > 1 and "patch_embedding" not in name and "class_embedding" not in name
        coefficient = 1.0 if "lora_" in name else config.pretrained_lr_coefficient
        if name.startswith("language."):
            coefficient *= config.language_lr_coefficient
        groups.setdefault((decays, coefficient), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": config.weight_decay if key[0] else 0.0, "lr_coefficient": key[1]}
        for key in sorted(groups, reverse=True)
    ]
