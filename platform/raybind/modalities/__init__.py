"""The modalities, one file each; a new one is a new file and a line here."""

from raybind.errors import ConfigError
from raybind.modalities.base import Modality
from raybind.modalities.depth import Depth
from raybind.modalities.image import RgbImage

MODALITIES: dict[str, Modality] = {modality.name: modality for modality in (Depth(), RgbImage())}


def get_modality(name: str) -> Modality:
    """Look a modality up by name. Raises: ConfigError: there is no such modality."""
    if name not in MODALITIES:
        raise ConfigError(f"data.modality={name!r} is not a modality; it is one of {', '.join(MODALITIES)}")
    return MODALITIES[name]


__all__ = ["MODALITIES", "Modality", "get_modality"]
