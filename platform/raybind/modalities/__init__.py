"""The modalities, one file each: a new modality is a new file here that ends in `MODALITY = ...`.

Names are known without importing anything; a modality's file is imported when it is used. `base` says what a modality
is, `media` how files are read.
"""

import importlib
import pkgutil
from functools import lru_cache
from typing import TYPE_CHECKING

from raybind.errors import ConfigError

if TYPE_CHECKING:
    from raybind.modalities.base import Modality


def modality_names() -> tuple[str, ...]:
    """All modalities, by name."""
    modules = pkgutil.iter_modules(__path__)
    return tuple(sorted(module.name for module in modules if module.name != "base" and not module.ispkg))


def check_modality(name: str) -> None:
    """Raises: ConfigError: there is no such modality."""
    if name not in modality_names():
        raise ConfigError(f"data.modality={name!r} is not a modality; it is one of {', '.join(modality_names())}")


@lru_cache
def get_modality(name: str) -> "Modality":
    """Look a modality up by name. Raises: ConfigError: there is no such modality."""
    check_modality(name)
    return importlib.import_module(f"raybind.modalities.{name}").MODALITY
