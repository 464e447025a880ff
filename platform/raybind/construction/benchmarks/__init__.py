"""Benchmarks as their data sets are downloaded: one reader for each kind of annotations, and the source made of it."""

from raybind.construction.benchmarks.source import BenchmarkSource

__all__ = ["BenchmarkSource"]
