"""What a benchmark is: a YAML file that says where the data set lies, what is asked of an encoder, and what others got.

The files of the paper's benchmarks are in `raybind/evaluation/benchmarks/`; a user's own is the same kind of file.
`jobs/prepare_benchmark.py` packs a data set as downloaded into shards and puts its `Benchmark` beside them.
"""

from typing import Literal

from pydantic import Field, model_validator

from raybind.config.base import Config
from raybind.config.benchmark_source import SourceFormat
from raybind.config.data import PromptTemplate

BENCHMARK_FILE = "benchmark.json"
"""Name of the file that holds a `Benchmark`."""

TEXT = "text"
"""In the place of a modality: the first caption of each item where all have one, else its class."""


class Reported(Config):
    """One column of a table of the paper."""

    table: int
    """Its number in the paper."""
    metric: str
    """`top1`, `mean_average_precision`, `recall_at_1`, `median_rank`, ...; behind `reverse/` that of the items asking
    for the queries."""
    figures: dict[str, float]
    """By method, as the paper prints them: per cent, or a rank."""
    note: str | None = None
    """What must be known to compare with them."""


class Task(Config):
    """Something asked of the embeddings of a benchmark's items."""

    kind: Literal["zero_shot", "multi_label", "retrieval"]
    """zero_shot: one class each; multi_label: any number; retrieval: queries find items, and items queries."""
    items: tuple[str, ...]
    """Modalities whose embeddings are fused into that of an item."""
    queries: tuple[str, ...] = (TEXT,)
    """For retrieval: `text`, modalities, or both, fused into a query."""
    requires: tuple[str, ...] = ()
    """Modalities that by their nature not all items have, such as the sound of a video. Items without take no part and
    are not missing; so tasks are compared on the same items."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the items that take part, drawn by a hash of their ids, always the same (Table 7: a tenth)."""
    reported: tuple[Reported, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """That an item must have to take part."""
        asking = self.queries if self.kind == "retrieval" else ()
        return tuple(dict.fromkeys(name for name in (*self.items, *asking, *self.requires) if name != TEXT))

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Task":
        if not self.items or not self.queries:
            raise ValueError("a task needs one or more modalities on each side")
        if TEXT in self.items:
            raise ValueError("items are made of modalities; put text among the queries")
        return self


class Views(Config):
    """Views of one video whose unit vectors are averaged (multi-view testing)."""

    clips: int = Field(default=1, ge=1)
    """Stretches of equal length, one after the other; each gives one clip of frames."""
    crops: Literal[1, 3] = 1
    """1: the centre. 3: the centre and both ends of the longer edge."""


class Classes(Config):
    """The classes of a benchmark and what prompts call them."""

    names: dict[str, str] = Field(default_factory=dict)
    """Phrase by the data set's own name; what is not named here goes by its own name, `_` read as a blank."""
    others: str | None = None
    """Where set, every class that `names` has not is this one."""
    file: str | None = None
    """A csv file with a header that lists all classes; without it, and without `others`, they are those that occur."""
    key_column: str = "name"
    """Of that file: how labels name a class."""
    name_column: str = "name"
    """Of that file: the phrase."""


class BenchmarkConfig(Config):
    """A benchmark file."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    """As tables call it."""
    home: str
    """Where it is downloaded."""
    licence: str
    """Terms as its authors state them, in short."""
    layout: str
    """What the folder must hold, for whoever has just downloaded it."""
    num_items: int | None = None
    """As published; preparing says where the folder holds fewer or more."""
    split: str = "test"
    """Split of the shards."""
    source: SourceFormat = Field(discriminator="kind")
    """How its annotations are read."""
    classes: Classes = Classes()
    templates: tuple[PromptTemplate, ...] | None = None
    """Prompts; null takes OpenCLIP's 80 in the words of the first of a task's modalities."""
    views: Views = Views()
    tasks: tuple[Task, ...] = Field(min_length=1)

    @property
    def modalities(self) -> tuple[str, ...]:
        """All that a task needs, in order of appearance."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.modalities))


class Benchmark(Config):
    """`benchmark.json` beside the shards: what was prepared."""

    config: BenchmarkConfig
    class_names: tuple[str, ...] = ()
    """All classes as prompts call them; labels of the samples are among them."""
