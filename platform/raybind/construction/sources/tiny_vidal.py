"""TinyVIDAL as a source: its samples are rendered by the packing tasks, in parallel, and stored nowhere before."""

from dataclasses import dataclass
from functools import lru_cache

from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.sources.base import SourceItem
from raybind.construction.tiny_vidal import num_samples, render_sample
from raybind.data.sample import Sample


@dataclass(frozen=True)
class TinyVidalSource:
    """The samples of one TinyVIDAL configuration; every sample has every configured modality."""

    config: TinyVidalConfig

    @property
    def name(self) -> str:
        """The settings that its media depend on."""
        settings = self.config.model_dump(include={"seed", "image_size_px", "num_frames"})
        return "TinyVIDAL " + ", ".join(f"{key}={value}" for key, value in settings.items())

    @property
    def modalities(self) -> tuple[str, ...]:
        """The configured ones."""
        return self.config.modalities

    def plan(self) -> list[SourceItem]:
        """Split by split, numbered."""
        return [
            SourceItem(f"tiny-{split}-{number:06d}", split, self.modalities, {"number": number})
            for split, count in num_samples(self.config).items()
            for number in range(count)
        ]

    def load(self, item: SourceItem, modality: str) -> Sample:
        """Render the sample with all its modalities; asking for its next modality costs nothing."""
        return _render(self.config.model_dump_json(), item.split, item.record["number"])


@lru_cache(maxsize=1)
def _render(config_json: str, split: str, number: int) -> Sample:
    return render_sample(TinyVidalConfig.model_validate_json(config_json), split, number)
