"""What happens to a sample that cannot be read: left out, counted by cause, listed, and above a rate the run stops.

Nothing takes its place: its row stays in the batch, marked as not valid, and the loss leaves it out. The list
(`quarantine.jsonl` of a run, or what `jobs/audit.py` writes) can be given to a later run as `data.skip_list`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from raybind.errors import ConfigError, TooManyBadSamples

MIN_SAMPLES = 1000
"""The rate is taken over at least so many samples, so that one bad sample at the start does not stop a run."""


@dataclass(frozen=True)
class BadSample:
    """A sample that cannot be read."""

    shard: str
    id: str
    cause: str
    detail: str
    """What exactly is wrong."""


@dataclass
class FaultCounts:
    """Samples received, and those of them that could not be read; a worker's, or of all workers together."""

    num_samples: int = 0
    num_retries: int = 0
    """Reads of object storage that failed and were tried again."""
    causes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """One sample per cause, with shard, id and what exactly is wrong."""
    quarantine: dict[str, BadSample] = field(default_factory=dict)
    """Every sample that could not be read, once, by its id."""

    def add(self, num_samples: int, bad: Iterable[BadSample], num_retries: int = 0) -> None:
        """Count a batch of `num_samples`, of which some are bad."""
        self.num_samples += num_samples
        self.num_retries += num_retries
        for sample in bad:
            self.causes[sample.cause] += 1
            self.examples.setdefault(sample.cause, sample.detail)
            self.quarantine[sample.id] = sample

    def without_list(self) -> "FaultCounts":
        """The counts alone, which are small."""
        return FaultCounts(self.num_samples, self.num_retries, self.causes, self.examples)

    def check(self, max_rate: float) -> None:
        """Raises: TooManyBadSamples: their rate is above `max_rate`; names causes and examples."""
        num_bad = self.causes.total()
        if num_bad <= max_rate * max(self.num_samples, MIN_SAMPLES):
            return
        causes = "; ".join(f"{n} x {cause}, e.g. {self.examples[cause]}" for cause, n in self.causes.most_common(5))
        raise TooManyBadSamples(
            f"{num_bad} of {self.num_samples} samples could not be read, more than "
            f"data.max_bad_sample_rate={max_rate} allows: {causes}"
        )


def together(parts: Sequence[FaultCounts]) -> FaultCounts:
    """The counts of several workers as one."""
    total = FaultCounts()
    for part in parts:
        total.num_samples += part.num_samples
        total.num_retries += part.num_retries
        total.causes += part.causes
        total.examples = part.examples | total.examples
        total.quarantine |= part.quarantine
    return total


def to_jsonl(samples: Iterable[BadSample]) -> str:
    """One JSON object per line, sorted by shard and id."""
    ordered = sorted(samples, key=lambda sample: (sample.shard, sample.id))
    return "".join(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in ordered)


def read_skip_list(text: str, location: str) -> frozenset[str]:
    """The ids of a list that `to_jsonl` wrote; any JSON lines with an `id` do. Raises: ConfigError: other lines."""
    try:
        return frozenset(str(json.loads(line)["id"]) for line in text.splitlines() if line.strip())
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"data.skip_list={location!r}: each line must be JSON with an `id`: {error}") from None
