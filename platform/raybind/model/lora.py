"""LoRA on the attention projections of a modality encoder, by peft (LanguageBind, Eq. (2) and Table 12)."""

from collections.abc import Sequence

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

ATTENTION_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def inject_lora(
    encoder: nn.Module, rank: int, alpha: int, dropout: float, targets: Sequence[str] = ATTENTION_PROJECTIONS
) -> None:
    """Replace the target linear layers by `W x + b + (alpha / rank) B A x`, in place; every other parameter freezes.

    Args:
        encoder: the model to change; its weights must be loaded before.
        rank: r of Eq. (2).
        alpha: the update is scaled by alpha / rank.
        dropout: probability on the input of A.
        targets: names of the linear layers, as they end in the module tree.
    """
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
    inject_adapter_in_model(config, encoder)
