"""What the failure of one rank means to the person whose run it is."""

import errno
import shutil
import tempfile

import torch
from safetensors import SafetensorError

from raybind.config.train import TrainConfig

EXPLAINED = (OSError, RuntimeError, SafetensorError)
"""Of which `explained` knows some."""
_NO_MEMORY = ("DefaultCPUAllocator", "Cannot allocate memory")
"""In what torch raises where the machine's own memory is full: a RuntimeError."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def explained(error: Exception, config: TrainConfig, rank: int, step: int) -> str | None:
    """The cause and its remedy, for failures that a restart would only repeat; None for all others."""
    place = f"rank {rank} in step {step}"
    if isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        return f"{place} is out of memory: {str(error).splitlines()[0]}; {memory_remedy(config)}"
    if _has_no_room(error):
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free / 1e6
        return (
            f"{place} cannot write: {error} ({folder} has {free:.0f} MB free); free some space, or set TMPDIR to a "
            "larger disk, and start the same run again: it goes on from its newest checkpoint"
        )
    return None


def _has_no_room(error: Exception) -> bool:
    if isinstance(error, SafetensorError):
        return any(f"(os error {number})" in str(error) for number in _NO_ROOM)
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def memory_remedy(config: TrainConfig) -> str:
    """Which settings need less memory."""
    training = config.training
    return (
        f"raise training.grad_accum_steps={training.grad_accum_steps}, set training.activation_checkpointing=true (now "
        f"{training.activation_checkpointing}), or raise model.mask_ratio={config.model.mask_ratio:g}"
    )
