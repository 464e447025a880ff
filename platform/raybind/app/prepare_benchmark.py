"""The job that prepares a benchmark: a data set as downloaded -> shards, and `benchmark.json` beside them."""

from rich.console import Console

from raybind.app.cli import run_job
from raybind.app.pack import PackingJob, check_packing, run_packing
from raybind.config.benchmark import BENCHMARK_FILE, Benchmark
from raybind.config.prepare_benchmark import PrepareBenchmarkConfig
from raybind.construction.benchmarks import BenchmarkSource
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from raybind.evaluation.benchmark_files import benchmark_names, read_benchmark

_EXAMPLES = f"""examples:
  python jobs/prepare_benchmark.py benchmark=esc50 location=/data/ESC-50-master output=benchmarks
  python jobs/prepare_benchmark.py benchmark=my_benchmark.yaml location=s3://data/mine output=s3://data/benchmarks
  python jobs/evaluate.py checkpoint=runs/first suite=[esc50] benchmarks=benchmarks

benchmarks that RayBind knows: {", ".join(benchmark_names())}
What a data set's folder must hold is said in its file, raybind/evaluation/benchmarks/<name>.yaml, under layout."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/prepare_benchmark.py`. Returns: the exit code."""
    checked: list[PackingJob] = []
    return run_job(
        "Prepare a benchmark: pack a data set as downloaded into shards that jobs/evaluate.py suite=... evaluates on.",
        PrepareBenchmarkConfig,
        run=lambda config: _run(config, checked[0]),
        check=lambda config: checked.append(_check(config)),
        argv=argv,
        examples=_EXAMPLES,
    )


def _check(config: PrepareBenchmarkConfig) -> PackingJob:
    benchmark = read_benchmark(config.benchmark)
    source = BenchmarkSource(open_storage(config.location), benchmark)
    try:
        source.plan()
    except ConfigError as error:
        raise ConfigError(f"{error}\nThe folder of {benchmark.title} must hold:\n{benchmark.layout}") from None
    return check_packing(source, open_storage(config.output).below(benchmark.name), config)


def _run(config: PrepareBenchmarkConfig, job: PackingJob) -> None:
    assert isinstance(job.source, BenchmarkSource)
    console, benchmark = Console(), job.source.benchmark()
    # First, since modalities that could be packed count even where another one could not.
    job.root.write(BENCHMARK_FILE, benchmark.model_dump_json(indent=1).encode())
    _say_what_was_found(console, benchmark, len(job.plan.items))
    run_packing(console, config, job)
    console.print(
        f"{benchmark.config.title} is in {job.root.root}; evaluate on it with jobs/evaluate.py "
        f"suite=[{benchmark.config.name}] benchmarks={config.output}",
        soft_wrap=True,
        markup=False,
    )


def _say_what_was_found(console: Console, benchmark: Benchmark, found: int) -> None:
    published = benchmark.config.num_items
    beside = "" if published is None or published == found else f", where {published:,} are published"
    console.print(f"{benchmark.config.title}: {found:,} items{beside}; {len(benchmark.class_names):,} classes")
