"""Reading and writing files of tensors, without ever running what lies in them."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raybind.errors import ConfigError

State = dict[str, Tensor]

SAFETENSORS = "model.safetensors"
TORCH_FILE = "pytorch_model.bin"

UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError)
"""What the readers of safetensors and torch files raise over a file that is cut short, of another type or unsafe."""


def read_folder(folder: Path) -> State:
    """The tensors of a directory in Hugging Face's layout: safetensors where there are, else torch's file.

    Raises: ConfigError: it has neither, or the file cannot be read; names it.
    """
    for name in (SAFETENSORS, TORCH_FILE):
        if (folder / name).is_file():
            return read_tensors(folder / name)
    raise ConfigError(f"{folder} has neither {SAFETENSORS} nor {TORCH_FILE}")


def read_tensors(path: Path) -> State:
    """The tensors of one file, on the CPU, as they are stored. Raises: ConfigError: it cannot be read; names it."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except UNREADABLE as error:
            raise unreadable(path, error) from None
    values = read_torch(path)
    wrong = next((name for name, value in values.items() if not isinstance(value, Tensor)), None)
    if wrong is not None:
        raise ConfigError(f"weights file {path}: {wrong!r} is no tensor")
    return values


def read_torch(path: Path) -> dict[str, Any]:
    """A dictionary saved by torch, of tensors and plain values only. Raises: ConfigError: it cannot be read."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if not isinstance(values, dict):
        raise ConfigError(f"weights file {path} holds a {type(values).__name__}, not named tensors")
    return values


def write_tensors(state: State, path: Path) -> None:
    """Write a safetensors file that Hugging Face's loaders take."""
    save_file({name: value.contiguous() for name, value in state.items()}, path, {"format": "pt"})


def unreadable(path: Path, error: Exception) -> ConfigError:
    """The error a user meets for a weights file that cannot be read."""
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ConfigError(f"weights file {path} cannot be read ({path.stat().st_size} bytes): {cause}")
