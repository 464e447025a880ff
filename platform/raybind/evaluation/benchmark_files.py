"""The benchmark files that come with RayBind, by name, and those of a user, by path."""

from pathlib import Path

from raybind.config.base import load_config
from raybind.config.benchmark import BenchmarkConfig
from raybind.errors import ConfigError

_FOLDER = Path(__file__).parent / "benchmarks"


def benchmark_names() -> tuple[str, ...]:
    """Those that come with RayBind."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_benchmark(name: str) -> BenchmarkConfig:
    """The benchmark of a name, or of a file `*.yaml`. Raises: ConfigError: there is none, or it is not valid."""
    if name.endswith((".yaml", ".yml")):
        return load_config(BenchmarkConfig, name)
    if name not in benchmark_names():
        raise ConfigError(
            f"benchmark={name!r} is not one of {', '.join(benchmark_names())}, and not a file of your own (*.yaml)"
        )
    return load_config(BenchmarkConfig, _FOLDER / f"{name}.yaml")
