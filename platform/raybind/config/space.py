"""The space of a sweep: its axes, and the points of it that become trials.

An axis has one of these forms:

    model.lora.rank: [1, 2, 4]                     # values of one configuration key
    temperature:                                   # points that set several keys at once; the axis has any name
      - {model.temperature.init: 0.07, model.temperature.learnable: true}
      - {model.temperature.init: 0.05, model.temperature.learnable: false}
    optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}   # a range, or `uniform`; for random search

Keys may be nested as well (`model: {lora: {rank: [1, 2]}}`), which is what an override of the command line does:
`space.model.lora.rank=[1,2]`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Distribution = Literal["uniform", "loguniform"]

Point = dict[str, Any]
"""Dotted configuration keys and the values they take together."""


@dataclass(frozen=True)
class Choices:
    """An axis of a few points."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Range:
    """An axis of all numbers between two bounds."""

    name: str
    low: float
    high: float
    distribution: Distribution

    def draw(self, generator: np.random.Generator) -> Point:
        """A number of the range, rounded to four significant digits so that people can read and copy it."""
        if self.distribution == "uniform":
            value = generator.uniform(self.low, self.high)
        else:
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return {self.name: float(f"{value:.4g}")}


Axis = Choices | Range


def flat_space(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same space with dotted keys; where a key comes twice, the last one counts, as overrides do."""
    flat: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, Mapping) and not value.keys() & set(get_args(Distribution)):
            flat |= flat_space(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse_axes(space: Mapping[str, Any]) -> tuple[Axis, ...]:
    """The axes of a flat space. Raises: ValueError: a form that is none of those above."""
    axes = tuple(_parse_axis(name, value) for name, value in space.items())
    owners = Counter(key for axis in axes for key in axis_keys(axis))
    if twice := [key for key, count in owners.items() if count > 1]:
        raise ValueError(f"{', '.join(twice)}: set by more than one axis; put what moves together into one axis")
    return axes


def axis_keys(axis: Axis) -> list[str]:
    """The configuration keys an axis sets."""
    if isinstance(axis, Range):
        return [axis.name]
    return list(dict.fromkeys(key for point in axis.points for key in point))


def expand(axes: tuple[Axis, ...], num_samples: int | None, seed: int) -> list[dict[str, Point]]:
    """The trials of a space, each a point on every axis by the axis's name.

    Args:
        num_samples: trials drawn at random, without repetition where all axes are choices; None takes the whole grid.
    Raises: ValueError: a grid over a range, or more samples than the grid has points.
    """
    ranges = [axis for axis in axes if isinstance(axis, Range)]
    generator = np.random.default_rng(seed)
    if ranges:
        if num_samples is None:
            raise ValueError(f"{ranges[0].name}: a grid needs a list of values; list them, or set search=random")
        return [{axis.name: _draw(axis, generator) for axis in axes} for _ in range(num_samples)]
    choices = [axis.points for axis in axes if isinstance(axis, Choices)]
    size = math.prod(len(points) for points in choices)
    if num_samples is None:
        numbers = list(range(size))
    elif num_samples <= size:
        numbers = generator.choice(size, num_samples, replace=False).tolist()
    else:
        raise ValueError(f"num_samples={num_samples} is more than the {size} points of the space; set search=grid")
    names = [axis.name for axis in axes]
    grid = list(itertools.product(*choices))
    return [dict(zip(names, grid[number], strict=True)) for number in numbers]


def _draw(axis: Axis, generator: np.random.Generator) -> Point:
    if isinstance(axis, Range):
        return axis.draw(generator)
    return axis.points[generator.integers(len(axis.points))]


def _parse_axis(name: str, value: Any) -> Axis:
    if isinstance(value, list) and value:
        points = tuple(dict(item) if isinstance(item, Mapping) else {name: item} for item in value)
        if any(point.keys() != points[0].keys() for point in points):
            raise ValueError(f"space.{name}: every point must set the same keys")
        return Choices(name, points)
    if isinstance(value, Mapping) and len(value) == 1:
        ((distribution, bounds),) = value.items()
        if distribution in get_args(Distribution):
            return Range(name, *_bounds(name, distribution, bounds), distribution)
    raise ValueError(
        f"space.{name}={value!r}: write a list of values, {{uniform: [low, high]}} or {{loguniform: [low, high]}}"
    )


def _bounds(name: str, distribution: str, bounds: Any) -> tuple[float, float]:
    numbers = isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(bound, int | float) for bound in bounds)
    if not numbers or not bounds[0] < bounds[1] or (distribution == "loguniform" and bounds[0] <= 0):
        positive = " above 0" if distribution == "loguniform" else ""
        raise ValueError(
            f"space.{name}.{distribution}={bounds!r}: write [low, high], two numbers{positive}, low < high"
        )
    return float(bounds[0]), float(bounds[1])
