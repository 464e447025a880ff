"""Runs on another number of workers than they began with, by hand or because a node is lost."""

import time
from pathlib import Path

import pytest

from tests.integration.runs import Cluster, Run, two_nodes, write_shards

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

NO_DROPOUT = "model.lora.dropout=0"
"""Its draws are each rank's own: with it a run is the same for the same number of workers only."""


def test_another_number_of_workers_and_another_stage_give_the_same_losses(tmp_path: Path, base_weights: Path) -> None:
    write_shards(f"{tmp_path}/data")
    settings = (NO_DROPOUT, "cluster.worker_cpus=0.3", "cluster.reader_cpus=0.3")
    whole = Run(tmp_path, "whole", None, base_weights, *settings)
    whole.finish()
    changes = {"1 worker": {"cluster__num_workers": "1"}, "4 workers": {"cluster__num_workers": "4"}}
    changes["stage 3"] = {"training__zero_stage": "3"}
    for number, (what, change) in enumerate(changes.items()):
        run = Run(tmp_path, f"changed-{number}", None, base_weights, *settings)
        driver = run.start()
        run.wait_for(driver, num_starts=1, step=20)
        driver.kill()
        driver.wait()
        run.finish(**change)
        losses, expected = run.losses(), whole.losses()
        worst = max(abs(losses[step] - expected[step]) for step in expected)
        print(f"from 2 workers at stage 2 to {what}: losses differ by {worst:.1e} at most, {len(expected)} steps")
        assert losses.keys() == expected.keys()
        assert worst < 1e-5


def test_a_node_is_lost_and_returns(tmp_path: Path, base_weights: Path) -> None:
    write_shards(f"{tmp_path}/data")
    with two_nodes() as cluster:
        settings = (NO_DROPOUT, "schedule.epochs=30", "cluster.min_workers=1", "cluster.resize_check_seconds=10")
        whole = Run(tmp_path, "whole", cluster, base_weights, *settings)
        whole.finish()
        run = Run(tmp_path, "elastic", cluster, base_weights, *settings)
        driver = run.start()
        run.wait_for(driver, num_starts=1, step=20)

        began = time.monotonic()
        cluster.kill_node()
        run.wait_for(driver, num_starts=2)
        print(f"node lost: the next step {time.monotonic() - began:.0f} s later, on {num_workers(cluster)} worker")
        assert num_workers(cluster) == 1

        run.wait_for(driver, num_starts=2, step=max(run.starts()[-1]) + 30)
        began = time.monotonic()
        cluster.add_node()
        run.wait_for(driver, num_starts=3)
        print(f"node back: the next step {time.monotonic() - began:.0f} s later, on {num_workers(cluster)} workers")
        assert num_workers(cluster) == 2

        assert driver.wait() == 0, run.log.read_text()[-3000:]
        assert run.samples() == whole.samples()
        losses, expected = run.losses(), whole.losses()
        print(f"losses differ by {max(abs(losses[step] - expected[step]) for step in expected):.1e} at most")


def num_workers(cluster: Cluster) -> int:
    return len(cluster.processes("RayTrainWorker"))
