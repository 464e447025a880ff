"""The sweep job: its command line, and every check that can be made before a trial starts.

Only what the checks need is imported here, so that `--check` answers at once; `app.sweep_run` runs the sweep.
"""

import os

from raybind.app.cli import run_job
from raybind.app.console import console
from raybind.app.sweep_plan import check_cpus, check_metric, check_scheduler, plan_trials
from raybind.app.train import absolute
from raybind.config.sweep import SweepConfig
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from raybind.integrations.object_store import check_location

SWEEP_RECORD = "raybind-sweep.json"
"""In the sweep's folder, from its start on: the configuration and the MLflow run."""

EXAMPLES = """examples:
  python sweeps/run.py sweeps/lora_rank.yaml train.data.root=runs/tiny-vidal --check
  python sweeps/run.py sweeps/demo.yaml train.data.root=runs/tiny-vidal name=demo-2
  ray job submit --working-dir . -- python sweeps/run.py sweeps/temperature.yaml train.data.root=s3://vidal/data \\
    output=s3://vidal/runs max_concurrent_trials=4
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `sweeps/run.py`. Returns: the exit code."""
    return run_job(
        "Train with several configurations and rank them.", SweepConfig, run, check, argv, EXAMPLES, "SPACE.yaml"
    )


def check(config: SweepConfig) -> None:
    """Every trial's configuration, and whether the trials find a place. Raises: ConfigError."""
    check_location("output", config.output)
    if sweep_storage(config).exists(SWEEP_RECORD):
        raise ConfigError(f"sweep {config.name!r} exists in {config.output!r}; choose another name")
    trials = plan_trials(config)
    check_metric(config, trials)
    check_scheduler(config, trials)
    concurrency = min(config.max_concurrent_trials, len(trials))
    if "RAY_ADDRESS" not in os.environ:
        check_cpus(trials, concurrency, os.cpu_count() or 1)
    console.print(f"{len(trials)} trials, {concurrency} at a time, compared by {config.metric} ({config.mode})")
    for trial in trials:
        samples = trial.plan.schedule.total_steps * trial.config.training.global_batch_size
        console.print(f"  {trial.label}: {trial.plan.schedule.total_steps} steps, {samples:,} samples")


def run(config: SweepConfig) -> None:
    """Run all trials and rank them. Raises: RayBindError: no trial succeeded, or the sweep was interrupted."""
    # Ray Tune and MLflow take seconds to import, which `--check` must not wait for.
    from raybind.app.sweep_run import run as run_checked

    run_checked(config)


def sweep_storage(config: SweepConfig) -> Storage:
    """Where a sweep keeps its record, its trials and its results."""
    return open_storage(absolute(config.output)).below(config.name)
