"""Joining a Ray cluster, and how this package reaches its workers.

The driver hands the package it has imported itself to the cluster (Ray's `py_modules`): Ray uploads it once per
content, and every task, actor and Ray Train worker imports that copy. So workers run the driver's code on any cluster
whose image holds the dependencies, and an installed copy of the package, editable or not, never takes its place.

The other ways, and why not: `PYTHONPATH=platform` in the job's runtime environment must be repeated at each
submission, and is wrong without a working directory; an entrypoint `env PYTHONPATH=platform python ...` does not reach
the workers; `pip` in the runtime environment builds the package anew on each node.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import raybind


def connect(local_resources: Mapping[str, float] | None = None) -> None:
    """Join the cluster that `RAY_ADDRESS` names, as it does in a submitted job; without it start Ray on this machine.

    Does nothing where this process has joined already. A cluster that happens to run on this machine is not joined
    unless it is named.

    Args:
        local_resources: custom resources of a Ray started here, e.g. `{"tune_driver": 4}`; a cluster has its own.
    """
    if ray.is_initialized():
        return
    # Ray leaves __pycache__ out of a working directory by itself, but not out of py_modules.
    runtime_env = {"py_modules": [str(Path(raybind.__file__).parent)], "excludes": ["__pycache__"]}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, runtime_env=runtime_env, logging_level=logging.WARNING, log_to_driver=False)
    else:
        ray.init(
            address="local",
            resources=dict(local_resources or {}),
            runtime_env=runtime_env,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )


def on_this_node() -> dict[str, Any]:
    """Options of an actor that takes no CPU and lives where the caller does: a lost node of another cannot take it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return {"num_cpus": 0, "scheduling_strategy": here}
