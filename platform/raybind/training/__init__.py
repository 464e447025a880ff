"""Training: the loop and its step, and the ports to whatever surrounds them."""

from raybind.training.engine import TorchEngine
from raybind.training.loop import Loop
from raybind.training.step import train_step

__all__ = ["Loop", "TorchEngine", "train_step"]
