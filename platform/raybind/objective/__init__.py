"""What training minimises."""

from raybind.objective.contrastive import contrastive_loss

__all__ = ["contrastive_loss"]
