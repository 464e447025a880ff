"""What happens to a sample that cannot be read: it is skipped, counted by cause, and stops the run above a stated rate.

Nothing takes its place: its row stays in the batch, marked as not valid, and the loss leaves it out.
"""

from collections import Counter
from collections.abc import Sequence

from raybind.errors import TooManyBadSamples

MIN_SAMPLES = 1000
"""The rate is taken over at least so many samples, so that one bad sample at the start does not stop a run."""


class FaultCounter:
    """Counts the samples a worker received and those that could not be read, by cause."""

    def __init__(self, max_rate: float) -> None:
        self._max_rate = max_rate
        self.num_samples = 0
        self.causes: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, faults: Sequence[str], details: Sequence[str]) -> None:
        """Count a batch.

        Args:
            faults: one entry per sample, the cause or an empty string.
            details: the same with shard, id and what exactly is wrong.

        Raises: TooManyBadSamples: the rate passed its limit; names the causes.
        """
        self.num_samples += len(faults)
        for fault, detail in zip(faults, details, strict=True):
            if fault:
                self.causes[fault] += 1
                self._examples.setdefault(fault, detail)
        num_bad = self.causes.total()
        if num_bad > self._max_rate * max(self.num_samples, MIN_SAMPLES):
            causes = "; ".join(
                f"{n} x {cause}, e.g. {self._examples[cause]}" for cause, n in self.causes.most_common(5)
            )
            raise TooManyBadSamples(
                f"{num_bad} of {self.num_samples} samples could not be read, more than "
                f"data.max_bad_sample_rate={self._max_rate} allows: {causes}"
            )
