"""Joining or starting a Ray cluster, and asking what it has."""

import os

import ray

from raybind.errors import ConfigError


def connect(local_resources: dict[str, float] | None = None, dashboard: bool = False) -> None:
    """Join the cluster RAY_ADDRESS names (a submitted job has it set), or start one on this machine for this process.

    Args:
        local_resources: custom resources of a cluster started here.
        dashboard: whether a cluster started here has one.
    Raises: ConfigError: RAY_ADDRESS names a cluster that does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        ray.init(address="local", log_to_driver=False, include_dashboard=dashboard, resources=local_resources)
        return
    try:
        ray.init(log_to_driver=False)
    except ConnectionError as error:
        raise ConfigError(f"RAY_ADDRESS={address!r}: no Ray cluster answers there ({error})") from None


def check_cpus(needed: float, what: str) -> None:
    """Raises: ConfigError: the cluster joined has fewer CPUs than the job needs, so it would wait forever."""
    available = ray.cluster_resources().get("CPU", 0)
    if available < needed:
        raise ConfigError(f"the cluster has {available:g} CPUs, but {what} need {needed:g}; lower them or add nodes")


def planned_cpus() -> float | None:
    """CPUs a cluster started here would have; None where RAY_ADDRESS names one that is not asked yet."""
    return None if "RAY_ADDRESS" in os.environ else float(os.cpu_count() or 1)
