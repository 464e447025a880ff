"""Training runs in processes of their own, on a cluster of two nodes, and what they leave behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import ray.cluster_utils
from mlflow import MlflowClient
from ray._private.ray_constants import PROCESS_TYPE_RAYLET

from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import shard_name
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from raybind.integrations.train_snapshot import newest_checkpoint
from tests.conftest import PROJECT

WORLD = TinyVidalConfig(modalities=("depth",), num_frames=1, image_size_px=112)
NODE = {"num_cpus": 3, "object_store_memory": 200 * 2**20, "include_dashboard": False}
"""Room for one worker of two CPUs and one reader."""


def write_shards(location: str, num_shards: int = 4, shard_size: int = 50) -> None:
    """Depth maps of Tiny-VIDAL."""
    folder, shards = open_storage(location).below("depth"), []
    for shard in range(num_shards):
        writer = ShardWriter(folder, "depth", shard_name("train", shard))
        for number in range(shard * shard_size, (shard + 1) * shard_size):
            sample = render_sample(WORLD, "train", number)
            writer.add(sample.metadata, sample.media["depth"])
        shards.append(writer.close())
    write_manifest(folder, "depth", {"train": shards})


class Cluster:
    """A Ray cluster of two nodes on this machine, outside of this process."""

    def __init__(self) -> None:
        self._cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
        self.add_node()

    @property
    def address(self) -> str:
        """For `RAY_ADDRESS`."""
        return self._cluster.address

    def add_node(self) -> None:
        """Start a second node."""
        self._second = self._cluster.add_node(num_cpus=NODE["num_cpus"], object_store_memory=200 * 2**20)

    def give_notice(self, seconds: int) -> None:
        """Drain the second node, as before a spot instance is taken away."""
        command = ["ray", "drain-node", "--address", self.address, "--node-id", self._second.node_id]
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "taken away"]
        subprocess.run([*command, *reason, "--deadline-remaining-seconds", str(seconds)], check=True)

    def kill_node(self) -> None:
        """SIGKILL all of the second node's processes."""
        doomed = [psutil.Process(self._raylet(self._second)), *self._children(self._second)]
        self._cluster.remove_node(self._second, allow_graceful=False)
        for process in doomed:
            if process.is_running():
                process.kill()

    def processes(self, title: str) -> list[psutil.Process]:
        """The Ray processes whose title has this in it, e.g. RayTrainWorker, on both nodes."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        alive = [child for node in nodes for child in self._children(node)]
        return [child for child in alive if title.lower() in _title(child)]

    def close(self) -> None:
        """End it all."""
        self._cluster.shutdown()

    def _children(self, node: "ray._private.node.Node") -> list[psutil.Process]:
        return psutil.Process(self._raylet(node)).children(recursive=True)

    def _raylet(self, node: "ray._private.node.Node") -> int:
        return node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid


def _title(process: psutil.Process) -> str:
    """What Ray calls it, without the arguments of a task."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return command.lower().partition("(")[0] if command.startswith("ray::") else ""


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.close()


class Run:
    """One training run by its name; every start of its driver goes on with it."""

    def __init__(self, folder: Path, name: str, cluster: Cluster | None, base_weights: Path, *settings: str) -> None:
        self.folder, self.name = folder, name
        self._samples = folder / f"{name}-samples"
        self.env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"} | (
            {"RAY_ADDRESS": cluster.address} if cluster is not None else {}
        )
        self._settings = {
            "data.root": f"{folder}/data",
            "data.modality": "depth",
            "data.text_source": "keyframe",
            "run.name": name,
            "run.output": f"{folder}/runs",
            "model.base.architecture": "ViT-Tiny-14",
            "model.base.weights": str(base_weights),
            "schedule.epochs": "4",
            "schedule.warmup_steps": "1",
            "training.global_batch_size": "16",
            "training.precision": "fp32",
            "training.log_every_steps": "1",
            "training.checkpoint_every_steps": "7",
            "training.sample_log": str(self._samples),
            "validation.split": "null",
            "cluster.num_workers": "2",
            "cluster.worker_cpus": "2",
            "cluster.reader_cpus": "1",
            "cluster.max_failures": "100",
            "tracking.uri": f"sqlite:///{folder}/mlflow.db",
        } | dict(setting.split("=", 1) for setting in settings)

    def start(self, **settings: str) -> subprocess.Popen[str]:
        """Start its driver, with other settings than it was made with: `cluster__num_workers="1"`."""
        now = self._settings | {name.replace("__", "."): value for name, value in settings.items()}
        self.log = self.folder / f"{self.name}.log"
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, str(PROJECT / "jobs/train.py"), *(f"{key}={value}" for key, value in now.items())],
                env=self.env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                text=True,
            )

    def finish(self, **settings: str) -> None:
        """Run it to its end."""
        assert self.start(**settings).wait() == 0, self.log.read_text()[-3000:]

    def starts(self) -> list[dict[int, list[str]]]:
        """Of every start of the workers, in their order, the ids of the steps that all its ranks began."""
        starts: dict[str, list[dict[int, list[str]]]] = {}
        for path in sorted(self._samples.glob("*.jsonl")):
            starts.setdefault(path.name.partition("-")[0], []).append(_read_lines(path))
        return [
            {
                step: [sample for rank in ranks for sample in rank[step]]
                for step in sorted(set.intersection(*map(set, ranks)))
            }
            for ranks in starts.values()
        ]

    def samples(self) -> list[tuple[int, list[str]]]:
        """The ids that entered the encoder, step by step: of every start up to the step at which the next went on."""
        begun = [start for start in self.starts() if start]
        sequence: list[tuple[int, list[str]]] = []
        for place, start in enumerate(begun):
            end = min(begun[place + 1]) if place + 1 < len(begun) else max(start) + 1
            sequence += [(step, ids) for step, ids in start.items() if step < end]
        return sequence

    def wait_for(self, driver: subprocess.Popen[str], num_starts: int, step: int = 0, seconds: float = 300) -> None:
        """Until the workers have started so many times and the last of them has begun a step, or the run has ended."""
        deadline = time.monotonic() + seconds
        while driver.poll() is None:
            starts = self.starts()
            if len(starts) >= num_starts and max(starts[-1], default=-1) >= step:
                return
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def losses(self) -> dict[int, float]:
        """By step; of a step done twice, the last."""
        record = json.loads((self.folder / "runs" / self.name / "raybind-run.json").read_text())
        client = MlflowClient(self._settings["tracking.uri"])
        return {
            metric.step: metric.value for metric in client.get_metric_history(record["mlflow_run_id"], "train/loss")
        }

    def final_parameters(self) -> bytes:
        """The file of its last checkpoint."""
        checkpoint = newest_checkpoint(open_storage(str(self.folder / "runs" / self.name)))
        assert checkpoint is not None
        return checkpoint.read("parameters.safetensors")


def _read_lines(path: Path) -> dict[int, list[str]]:
    whole = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {line["step"]: line["ids"] for line in whole}


def kill_one(processes: list[psutil.Process]) -> bool:
    """SIGKILL one of them. Returns: whether there was one."""
    if not processes:
        return False
    os.kill(random.choice(processes).pid, signal.SIGKILL)
    return True
