"""Configuration of an evaluation (`jobs/evaluate.py`)."""

from typing import Literal

from pydantic import Field, model_validator

from raybind.config.base import Config
from raybind.config.data import PromptTemplate, TextSource
from raybind.config.train import TrackingConfig


class WorkersConfig(Config):
    """The workers that embed."""

    number: int = Field(default=1, ge=1)
    """Workers; each holds one encoder."""
    cpus: float = Field(default=1, gt=0)
    """CPUs and threads of one worker."""
    use_gpu: bool = False
    """One GPU per worker."""
    batch_size: int = Field(default=64, ge=1)
    """Items encoded at once. It and the number of workers change nothing but speed and memory, and the last digits of
    float32."""


class EvaluateConfig(Config):
    """Zero-shot classification and retrieval of trained encoders, on one split or on benchmarks."""

    checkpoint: str
    """Folder of a run (its newest checkpoint is taken) or of one checkpoint; a local path or `s3://bucket/prefix`."""
    also: tuple[str, ...] = ()
    """Checkpoints of further modalities of the same base and data: each is evaluated too, and in the end retrieval
    between every two of them, the base's own images included where they are packed (Sec. 4.4: emergent alignment)."""
    suite: Literal["paper"] | tuple[str, ...] | None = None
    """Benchmarks to evaluate on instead of a split: paper for all that are prepared, or names such as [esc50,clotho].
    Their tables stand beside the paper's figures."""
    benchmarks: str | None = None
    """Folder of the prepared benchmarks (jobs/prepare_benchmark.py), local or s3://; must be set with suite."""
    root: str | None = None
    """Root of the shards to evaluate on; null takes those the encoder was trained on."""
    split: str = "val"
    """Split to evaluate on; every sample counts once, and one that cannot be read ends the evaluation."""
    label_set: str | None = None
    """Labels that are the classes; null takes the modality's own, else `label`, else does retrieval only."""
    templates: tuple[PromptTemplate, ...] | None = None
    """Prompt templates with `{}` for the class name, such as `[a depth photo of a {}.]`; null takes OpenCLIP's 80 in
    the modality's words (LanguageBind, Appendix B)."""
    text_source: TextSource | None = None
    """Captions to retrieve; null takes those the encoder was trained with."""
    untrained: bool = True
    """Evaluate the encoder as it was before training, too."""
    workers: WorkersConfig = WorkersConfig()
    embeddings: str | None = None
    """Folder in which embeddings are kept, local or s3://; a further evaluation of the same encoder on the same data
    then embeds nothing. null keeps none."""
    output: str | None = None
    """Local folder for result.json, result.md and the pictures, with `also` one folder per modality in it; null writes
    none."""
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _knows_where_benchmarks_lie(self) -> "EvaluateConfig":
        if self.suite is not None and self.benchmarks is None:
            raise ValueError(f"suite={self.suite!r} needs benchmarks, the folder that jobs/prepare_benchmark.py filled")
        return self
