"""Configuration of a sweep (`sweeps/run.py`): the training runs it consists of and how they compete."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from raybind.config.base import Config
from raybind.config.space import Axis, Point, axis_keys, expand, flat_space, parse_axes
from raybind.config.train import TrackingConfig

_OWN_KEYS = ("run.name", "run.output", "tracking")
"""Training keys that the sweep sets for its trials."""


class SchedulerConfig(Config):
    """Which trials may end before their schedule does."""

    kind: Literal["none", "asha"] = "none"
    """asha: asynchronous successive halving (arXiv 1810.05934): at each rung a trial goes on only when it is among the
    best 1 / reduction_factor of those that have come so far."""
    grace_epochs: float = Field(default=1, gt=0)
    """The first rung, epochs; the next ones are at grace_epochs * reduction_factor, * reduction_factor^2, ..."""
    reduction_factor: float = Field(default=2, gt=1)
    """Share of the trials that a rung ends: 1 - 1 / reduction_factor."""


class SweepConfig(Config):
    """Training runs that differ in a few configuration keys, compared by one metric of their validation."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]+$")]
    """Name of the sweep below `output`; a sweep never writes into one that exists."""
    output: str = "runs"
    """Local folder or `s3://bucket/prefix` for the trials' checkpoints, the ranking and the picture."""
    preset: str
    """Training preset that all trials start from, a path from the working directory."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Training configuration laid over the preset for all trials (`train.data.root=s3://vidal`)."""
    space: dict[str, Any] = Field(min_length=1)
    """What the trials differ in, one axis for each entry; the forms: `raybind.config.space`."""
    search: Literal["grid", "random"] = "grid"
    """grid: every combination of the axes' values; random: `num_samples` of them, or draws from ranges."""
    num_samples: int | None = Field(default=None, ge=1)
    """Trials of a random search."""
    seed: int = Field(default=0, ge=0)
    """Of the random search; the trials' own is train.run.seed."""
    metric: str = "val/zero_shot/top1"
    """Validation metric by which trials are ranked and stopped: `<validation split>/<task>/<score>`."""
    mode: Literal["max", "min"] = "max"
    """Whether a high or a low metric is good (ranks are good when low)."""
    validate_every_epochs: float | None = Field(default=None, gt=0)
    """Epochs between two validations of a trial, whatever its batch size, so that trials are compared after the same
    number of samples; sets training.checkpoint_every_steps, rounded up. Null leaves that as it is."""
    scheduler: SchedulerConfig = SchedulerConfig()
    max_concurrent_trials: int = Field(default=1, ge=1)
    """Trials at a time; each takes num_workers * worker_cpus + reader_cpus of its own."""
    tracking: TrackingConfig = TrackingConfig()

    @field_validator("space")
    @classmethod
    def _flat_and_well_formed(cls, space: dict[str, Any]) -> dict[str, Any]:
        flat = flat_space(space)
        parse_axes(flat)
        return flat

    @model_validator(mode="after")
    def _search_is_possible(self) -> Self:
        if (self.search == "random") != (self.num_samples is not None):
            raise ValueError(
                f"search={self.search} with num_samples={self.num_samples}: random, and only it, takes one"
            )
        expand(self.axes, self.num_samples, self.seed)
        return self

    @model_validator(mode="after")
    def _trials_keep_their_places(self) -> Self:
        sections = [
            f"{section}.{key}" for section, keys in self.train.items() if isinstance(keys, dict) for key in keys
        ]
        asked = [*self.train, *sections, *(key for axis in self.axes for key in axis_keys(axis))]
        for key in asked:
            if key in _OWN_KEYS or key.startswith("tracking."):
                raise ValueError(f"{key}: the sweep sets it for each trial; set the sweep's name, output or tracking")
        return self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the space."""
        return parse_axes(self.space)

    @property
    def points(self) -> list[dict[str, Point]]:
        """The trials, each a point on every axis by the axis's name; a pure function of the configuration."""
        return expand(self.axes, self.num_samples, self.seed)
