"""Running a checked sweep: `integrations.ray_tune` -> a trial's function -> `app.train_run` -> Ray Train workers."""

import json
from functools import partial
from typing import Any

import ray
import yaml

from raybind import __version__
from raybind.app.console import console
from raybind.app.sweep import SWEEP_RECORD, sweep_storage
from raybind.app.sweep_board import TRIAL_TAG, Board, publish
from raybind.app.sweep_plan import Trial, check_cpus, epochs, plan_trials
from raybind.app.train import make_plan
from raybind.app.train_run import open_run, train_tracked
from raybind.config.base import flatten
from raybind.config.sweep import SweepConfig
from raybind.config.train import TrainConfig
from raybind.errors import RayBindError
from raybind.integrations.mlflow import PARENT_TAG, RunStatus, TrackedRun, tracking_uri
from raybind.integrations.ray_cluster import connect
from raybind.integrations.ray_tune import TRIAL_SLOT, Competition, ReportToTune, check_cluster, run_trials


def run(config: SweepConfig) -> None:
    """Run all trials and rank them. Raises: RayBindError: no trial succeeded."""
    trials = plan_trials(config)
    concurrency = min(config.max_concurrent_trials, len(trials))
    connect(local_resources={TRIAL_SLOT: concurrency})
    check_cpus(trials, concurrency, ray.cluster_resources().get("CPU", 0))
    check_cluster(concurrency)
    parent = _open_sweep(config, trials)
    console.print(f"sweep {config.name}: MLflow run {parent.run_id} at {parent.uri}")
    board = Board(trials, config.metric, parent)
    try:
        run_trials(config, _competition(config, trials, parent), board)
    except Exception:
        _end_trials(board, parent, "FAILED")
        raise
    except BaseException:
        _end_trials(board, parent, "KILLED")
        publish(config, board.records, sweep_storage(config), parent)
        raise
    board.settle()
    publish(config, board.records, sweep_storage(config), parent)
    failed = all(record.state == "failed" for record in board.records)
    parent.finish("FAILED" if failed else "FINISHED")
    if failed:
        raise RayBindError(f"all {len(trials)} trials failed; the first: {board.records[0].cause}")


def _end_trials(board: Board, parent: TrackedRun, status: RunStatus) -> None:
    """End what runs: first in MLflow, since `ray job stop` waits for three seconds only."""
    board.interrupt()
    parent.finish(status)
    ray.shutdown()
    # A trial may have made its run, or marked it as failed, while it was being ended.
    board.settle()


def _competition(config: SweepConfig, trials: list[Trial], parent: TrackedRun) -> Competition:
    # A trial's own default would be a file of its own.
    tracking = {**config.tracking.model_dump(), "uri": parent.uri}
    configs = [{**trial.config.model_dump(mode="json"), "tracking": tracking} for trial in trials]
    return Competition(
        run_trial=partial(_run_trial, configs, config.metric, parent.run_id),
        names=[trial.name for trial in trials],
        max_epochs=max(epochs(trial.plan) for trial in trials),
        storage=sweep_storage(config),
    )


def _run_trial(configs: list[dict[str, Any]], metric: str, parent_run_id: str, number: int) -> None:
    """What runs in the process of a trial."""
    config = TrainConfig.model_validate(configs[number])
    plan = make_plan(config)
    tracked = open_run(config, plan, {PARENT_TAG: parent_run_id, TRIAL_TAG: config.run.name})
    train_tracked(config, plan, tracked, callbacks=[ReportToTune(metric, plan.batching, plan.schedule.total_steps)])


def _open_sweep(config: SweepConfig, trials: list[Trial]) -> TrackedRun:
    parent = TrackedRun.start(
        tracking_uri(config.tracking, config.output),
        config.tracking.experiment,
        config.name,
        params={**flatten(config), "num_trials": len(trials)},
        tags={"raybind.kind": "sweep", "raybind.version": __version__},
    )
    parent.log_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "sweep.yaml")
    record = {"mlflow_run_id": parent.run_id, "config": config.model_dump(mode="json")}
    sweep_storage(config).write(SWEEP_RECORD, json.dumps(record, indent=1).encode())
    return parent
