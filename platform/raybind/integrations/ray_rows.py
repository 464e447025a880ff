"""Work in rows, one task each, over a Ray cluster: what packing, audits and text embeddings have in common."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray.data


def map_rows(
    rows: Sequence[Mapping[str, Any]], work: Callable[[pa.Table], pa.Table] | type, **options: Any
) -> Iterator[dict[str, Any]]:
    """Run every row as a task of its own.

    Args:
        work: takes a table of one row and returns a table of results; a class is held by actors.
        options: of `ray.data.Dataset.map_batches`: resources, actors.
    Yields: each row of the results, as they are ready.
    """
    dataset = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map_batches(
        work, batch_size=1, batch_format="pyarrow", **options
    )
    dataset.context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # else it reports its own progress into ours
    yield from dataset.iter_rows()
