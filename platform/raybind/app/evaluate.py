"""The evaluation job: its command line, its checks; `app.evaluate_run` runs it."""

from pathlib import Path

from raybind.app.cli import run_job
from raybind.config.benchmark import BENCHMARK_FILE, Benchmark
from raybind.config.evaluate import EvaluateConfig
from raybind.data.storage import Storage, open_storage
from raybind.errors import ConfigError
from raybind.integrations.object_store import check_location
from raybind.integrations.train_snapshot import newest_checkpoint

EXAMPLES = """examples:
  python jobs/evaluate.py checkpoint=runs/first
  python jobs/evaluate.py checkpoint=s3://vidal/runs/first split=test output=report
  python jobs/evaluate.py checkpoint=runs/depth also=[runs/audio,runs/video] suite=paper benchmarks=s3://data/benchmarks
"""

DIRECTORY_FILES = ("raybind.json", "config.json")


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/evaluate.py`. Returns: the exit code."""
    return run_job(
        "Zero-shot classification and retrieval of a trained encoder.", EvaluateConfig, run, check, argv, EXAMPLES
    )


def check(config: EvaluateConfig) -> None:
    """Raises: ConfigError: no checkpoint, no such data, or a benchmark that is not prepared."""
    for key, location in (("checkpoint", config.checkpoint), *(("also", other) for other in config.also)):
        check_location(key, location)
        if not is_directory(location):
            find_checkpoint(location)
    if config.root is not None:
        check_location("root", config.root)
    if config.suite is not None:
        prepared(config)


def prepared(config: EvaluateConfig) -> list[tuple[Benchmark, Storage]]:
    """The benchmarks asked for, and where each lies. Raises: ConfigError: one is not prepared."""
    root = open_storage(str(config.benchmarks))
    there = [name for name in root.children() if root.exists(f"{name}/{BENCHMARK_FILE}")]
    if not there:
        raise ConfigError(f"benchmarks={config.benchmarks!r} holds none; prepare some with jobs/prepare_benchmark.py")
    wanted = there if config.suite == "paper" or config.suite is None else config.suite
    lost = [name for name in wanted if name not in there]
    if lost:
        raise ConfigError(f"{', '.join(lost)} not in {config.benchmarks}; prepared are {', '.join(there)}")
    found = [(root.below(name), root.read(f"{name}/{BENCHMARK_FILE}")) for name in wanted]
    return [(Benchmark.model_validate_json(raw), storage) for storage, raw in found]


def is_directory(location: str) -> bool:
    """Whether it is an encoder's directory, ours or another's, as `LanguageBind.from_pretrained` reads."""
    return any((Path(location) / name).is_file() for name in DIRECTORY_FILES)


def run(config: EvaluateConfig) -> None:
    """Evaluate, print, and record in MLflow. Raises: RayBindError."""
    # torch, open_clip and MLflow take seconds to import, which `--check` must not wait for.
    if config.suite is None:
        from raybind.app.evaluate_run import run as run_checked
    else:
        from raybind.app.evaluate_suite import run as run_checked
    run_checked(config)


def find_checkpoint(location: str) -> Storage:
    """The checkpoint at a location: the newest of a run, or that folder itself. Raises: ConfigError: there is none."""
    folder = open_storage(location)
    if folder.exists("state.json"):
        return folder
    newest = newest_checkpoint(folder)
    if newest is None:
        raise ConfigError(
            f"checkpoint={location!r} is neither the folder of a run with a complete checkpoint nor a checkpoint"
        )
    return newest
