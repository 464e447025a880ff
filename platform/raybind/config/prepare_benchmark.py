"""Configuration of preparing a benchmark (`jobs/prepare_benchmark.py`)."""

from raybind.config.pack import ShardsConfig


class PrepareBenchmarkConfig(ShardsConfig):
    """From a data set as downloaded to the shards of a benchmark."""

    benchmark: str
    """Name of one that RayBind knows, such as esc50, or path of a benchmark file (*.yaml) of your own."""
    location: str
    """Folder of the data set as downloaded, a local path that every node sees or s3://bucket/prefix."""
