"""Where samples to pack come from: the official VIDAL layout, a folder with annotations.jsonl, or TinyVIDAL."""

from raybind.config.pack import PackConfig
from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.sources.base import SeededSplit, Source, SourceItem
from raybind.construction.sources.jsonl import ANNOTATIONS_NAME, JsonlSource
from raybind.construction.sources.tiny_vidal import TinyVidalSource
from raybind.construction.sources.vidal import VidalSource
from raybind.data.storage import open_storage

__all__ = ["JsonlSource", "SeededSplit", "Source", "SourceItem", "TinyVidalSource", "VidalSource", "open_source"]


def open_source(config: PackConfig) -> Source:
    """The source that a packing configuration names; nothing is read yet."""
    source = config.source
    if source.location is None:
        return TinyVidalSource(_only(config.tiny_vidal, config.modalities))
    storage = open_storage(source.location)
    split = SeededSplit(config.seed, config.val_fraction)
    if source.kind == "vidal":
        return VidalSource(storage, source.annotations or "", split)
    return JsonlSource(storage, source.annotations or ANNOTATIONS_NAME, split)


def _only(config: TinyVidalConfig, modalities: tuple[str, ...]) -> TinyVidalConfig:
    """Render what is packed: leaving a modality out changes nothing in the others."""
    wanted = tuple(modality for modality in config.modalities if modality in modalities or not modalities)
    return config.model_copy(update={"modalities": wanted})
