"""Streams batches through Ray Data to a consumer that takes its time, and prints the peak memory of it all.

    python stream_memory.py ROOT STEPS

Memory is the proportional set size (PSS) of this process and all that Ray started: what is shared, as the object store
is, counts once.
"""

import sys
import threading
import time
from pathlib import Path

import psutil
import ray
from ray.data import DataContext

from raybind.config.data import DataConfig
from raybind.config.train import ClusterConfig
from raybind.data.manifest import read_split
from raybind.data.order import Batching
from raybind.data.storage import open_storage
from raybind.integrations.ray_data import StreamPlan, configure, execution_options, iterate_shard, training_dataset
from raybind.model.input_shape import InputShape

BATCH = 32
SECONDS_PER_STEP = 0.1


def pss_bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Peak(threading.Thread):
    """Looks twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.num_bytes = 0

    def run(self) -> None:
        own = psutil.Process()
        while True:
            self.num_bytes = max(self.num_bytes, sum(map(pss_bytes, [own, *own.children(recursive=True)])))
            time.sleep(0.5)


def main(root: str, num_steps: int) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=400 * 2**20, log_to_driver=False)
    index = read_split(open_storage(root), "depth", "train")
    plan = StreamPlan(
        index=ray.put(index),
        text_cache=None,
        config=DataConfig(root=root, modality="depth", text_source="keyframe"),
        shape=InputShape(224, 224),
        seed=0,
        batching=Batching(len(index), BATCH),
        micro_batch_size=BATCH,
        total_steps=num_steps,
        cluster=ClusterConfig(num_workers=1, reader_cpus=1),
    )
    configure(DataContext.get_current())
    dataset = training_dataset(plan, range(num_steps), world_size=1)
    dataset.context.execution_options = execution_options()
    (shard,) = dataset.streaming_split(1, equal=True)
    peak = Peak()
    peak.start()
    received = 0
    for arrays in iterate_shard(shard):
        received += len(arrays["number"])
        time.sleep(SECONDS_PER_STEP)
    assert received == num_steps * BATCH
    print(peak.num_bytes)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
