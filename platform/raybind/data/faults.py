"""What happens to a sample that cannot be read: it is skipped, counted by cause, and stops the run above a stated rate.

Nothing takes its place: its row stays in the batch, marked as not valid, and the loss leaves it out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from raybind.errors import TooManyBadSamples

MIN_SAMPLES = 1000
"""The rate is taken over at least so many samples, so that one bad sample at the start does not stop a run."""


@dataclass
class FaultCounts:
    """Samples received, and those of them that could not be read, by cause; a worker's, or of all workers together."""

    num_samples: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """One sample per cause, with shard, id and what exactly is wrong."""

    def add(self, faults: Sequence[str], details: Sequence[str]) -> None:
        """Count a batch.

        Args:
            faults: one entry per sample, the cause or an empty string.
            details: the same with shard, id and what exactly is wrong.
        """
        self.num_samples += len(faults)
        for fault, detail in zip(faults, details, strict=True):
            if fault:
                self.causes[fault] += 1
                self.examples.setdefault(fault, detail)

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
        total.causes += part.causes
        total.examples = part.examples | total.examples
    return total
