"""Runs killed with SIGKILL at random moments see the samples that a run never killed sees, once and in the same order.

The ids come from the batches that entered the encoder. A start of the workers counts up to the step at which the next
start went on.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import render_sample
from raybind.data.manifest import shard_name
from raybind.data.storage import open_storage
from raybind.data.writer import ShardWriter, write_manifest
from tests.conftest import PROJECT

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

NUM_KILLS = 20
NUM_RANKS = 2
TARGETS = {"worker": "RayTrainWorker", "reading task": "read", "driver": None}
WORLD = TinyVidalConfig(modalities=("depth",), num_frames=1, image_size_px=112)


def write_shards(root: Path) -> None:
    folder, shards = open_storage(str(root / "depth")), []
    for shard in range(4):
        writer = ShardWriter(folder, "depth", shard_name("train", shard))
        for number in range(shard * 50, shard * 50 + 50):
            sample = render_sample(WORLD, "train", number)
            writer.add(sample.metadata, sample.media["depth"])
        shards.append(writer.close())
    write_manifest(folder, "depth", {"train": shards})


def command(folder: Path, name: str, base_weights: Path) -> list[str]:
    return [
        sys.executable,
        str(PROJECT / "jobs/train.py"),
        f"data.root={folder}/data",
        "data.modality=depth",
        "data.text_source=keyframe",
        f"run.name={name}",
        f"run.output={folder}/runs",
        "model.base.architecture=ViT-Tiny-14",
        f"model.base.weights={base_weights}",
        "schedule.epochs=40",
        "schedule.warmup_steps=1",
        "training.global_batch_size=16",
        "training.precision=fp32",
        "training.checkpoint_every_steps=7",
        f"training.sample_log={folder}/{name}-samples",
        "validation.split=null",
        f"cluster.num_workers={NUM_RANKS}",
        "cluster.worker_cpus=0.5",
        "cluster.reader_cpus=0.5",
        "cluster.max_failures=100",
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
    ]


def starts(folder: Path, name: str) -> list[dict[int, list[str]]]:
    """Of every start of the workers, in their order, the ids of the steps that all ranks began."""
    by_rank = [
        [read_lines(path) for path in sorted((folder / f"{name}-samples").glob(f"*-rank-{rank}.jsonl"))]
        for rank in range(NUM_RANKS)
    ]
    return [
        {
            step: [sample for rank in ranks for sample in rank[step]]
            for step in sorted(set.intersection(*map(set, ranks)))
        }
        for ranks in zip(*by_rank, strict=True)
    ]


def read_lines(path: Path) -> dict[int, list[str]]:
    whole = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {line["step"]: line["ids"] for line in whole}


def joined(found: list[dict[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Every start up to the step at which the next one went on."""
    begun = [start for start in found if start]
    sequence: list[tuple[int, list[str]]] = []
    for place, start in enumerate(begun):
        end = min(begun[place + 1]) if place + 1 < len(begun) else max(start) + 1
        sequence += [(step, ids) for step, ids in start.items() if step < end]
    return sequence


def kill(driver: subprocess.Popen, target: str) -> bool:
    """SIGKILL the driver, or one of its cluster's processes of that kind. Returns: whether there was one."""
    title = TARGETS[target]
    if title is None:
        driver.kill()
        driver.wait()
        return True
    children = psutil.Process(driver.pid).children(recursive=True)
    alive = [child for child in children if title.lower() in " ".join(child.cmdline()).lower().partition("(")[0]]
    victims = [child for child in alive if child.cmdline()[0].startswith("ray::")]
    if not victims:
        return False
    os.kill(random.choice(victims).pid, signal.SIGKILL)
    return True


def test_twenty_kills(tmp_path: Path, base_weights: Path) -> None:
    write_shards(tmp_path / "data")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": PROJECT}
    subprocess.run(command(tmp_path, "whole", base_weights), check=True, **quiet)
    (whole,) = starts(tmp_path, "whole")
    expected = list(whole.items())

    random.seed(0)
    done, number = [], 0
    while len(done) < NUM_KILLS:
        name = f"killed-{number}"
        driver = subprocess.Popen(command(tmp_path, name, base_weights), **quiet)
        expected_starts = 1
        while driver.poll() is None and len(done) < NUM_KILLS:
            wait_for_samples(driver, tmp_path / f"{name}-samples", expected_starts)
            time.sleep(random.uniform(0, 6))
            target = random.choice(list(TARGETS))
            if driver.poll() is None and kill(driver, target):
                done.append(target)
                print(f"kill {len(done)}: {target}", flush=True)
                expected_starts += target != "reading task"
                if target == "driver":
                    driver = subprocess.Popen(command(tmp_path, name, base_weights), **quiet)
        assert driver.wait() == 0
        found = starts(tmp_path, name)
        assert joined(found) == expected
        print(f"{name}: {len(found)} starts of the workers, {len(expected)} steps, the same samples in the same order")
        number += 1


def wait_for_samples(driver: subprocess.Popen, folder: Path, expected_starts: int) -> None:
    """Until the workers have started so many times and taken a step, or the run has ended."""
    while driver.poll() is None:
        files = sorted(folder.glob("*-rank-0.jsonl"))
        if len(files) >= expected_starts and files[-1].stat().st_size:
            return
        time.sleep(0.2)
