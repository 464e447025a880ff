"""Runs killed with SIGKILL at random moments end as a run never killed ends: the same samples, once and in the same
order, and the same weights, bit for bit.

The ids come from the batches that entered the encoder. A start of the workers counts up to the step at which the next
start went on.
"""

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.runs import Cluster, Run, kill_one, two_nodes, write_shards

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

NUM_KILLS = 20
TARGETS = ("worker", "reading task", "driver", "node")
SETTINGS = ("schedule.epochs=30", "model.lora.dropout=0.1", "training.log_every_steps=100")


def kill(target: str, run: Run, driver: subprocess.Popen[str], cluster: Cluster) -> subprocess.Popen[str] | None:
    """SIGKILL something. Returns: the driver from then on; None where there was nothing of that kind."""
    if target == "driver":
        driver.kill()
        driver.wait()
        return run.start()
    if target == "node":
        cluster.kill_node()
        cluster.add_node()
        return driver
    return driver if kill_one(cluster.processes({"worker": "RayTrainWorker", "reading task": "read"}[target])) else None


def test_twenty_kills(tmp_path: Path, base_weights: Path) -> None:
    write_shards(f"{tmp_path}/data")
    with two_nodes() as cluster:
        whole = Run(tmp_path, "whole", cluster, base_weights, *SETTINGS)
        whole.finish()
        random.seed(0)
        done, number = 0, 0
        while done < NUM_KILLS:
            run = Run(tmp_path, f"killed-{number}", cluster, base_weights, *SETTINGS)
            driver, num_starts = run.start(), 1
            while driver.poll() is None and done < NUM_KILLS:
                run.wait_for(driver, num_starts)
                time.sleep(random.uniform(0, 6))
                target = TARGETS[done % len(TARGETS)]
                now = kill(target, run, driver, cluster) if driver.poll() is None else None
                if now is not None:
                    done, driver = done + 1, now
                    num_starts += target != "reading task"
                    print(f"kill {done}: {target}", flush=True)
            assert driver.wait() == 0, run.log.read_text()[-3000:]
            assert run.samples() == whole.samples()
            assert run.final_parameters() == whole.final_parameters()
            print(f"{run.name}: {len(run.starts())} starts of the workers, the same samples, the same weights")
            number += 1
