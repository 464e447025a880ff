"""MLflow: the record of a run. A tracker that is away never stops or slows training."""

import json
import logging
import os
import queue
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from raybind.config.train import TrackingConfig
from raybind.errors import ConfigError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 120
"""How long a run that has come to its end waits for a tracker that is away."""

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

PARENT_TAG = MLFLOW_PARENT_RUN_ID
"""Tag by which MLflow shows a run below another: its value is the other's id."""


def tracking_uri(config: TrackingConfig, output: str) -> str:
    """The configured tracking URI, else MLFLOW_TRACKING_URI, else an sqlite file beside the runs."""
    if config.uri is not None:
        return config.uri
    if "MLFLOW_TRACKING_URI" in os.environ:
        return os.environ["MLFLOW_TRACKING_URI"]
    if output.startswith("s3://"):
        raise ConfigError(f"tracking.uri: not set, and no local file can stand beside run.output={output!r}; set it")
    folder = Path(output).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder}/mlflow.db"


class TrackedRun:
    """One MLflow run, held by its id; safe to make in any process."""

    def __init__(self, uri: str, run_id: str) -> None:
        self.uri = uri
        self.run_id = run_id
        self._client = MlflowClient(uri)

    @classmethod
    def start(
        cls,
        uri: str,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> "TrackedRun":
        """Create a run. Raises: ConfigError: the server cannot be reached."""
        client = MlflowClient(uri)
        try:
            found = client.get_experiment_by_name(experiment)
            experiment_id = found.experiment_id if found else client.create_experiment(experiment, _artifacts(uri))
            run_id = client.create_run(experiment_id, run_name=name).info.run_id
        except MlflowException as error:
            raise ConfigError(
                f"MLflow at {uri} cannot be used: {error.message}; start it or set tracking.uri"
            ) from None
        run = cls(uri, run_id)
        pairs = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for first in range(0, len(pairs), 100):
            client.log_batch(run_id, params=pairs[first : first + 100])
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        return run

    def resume(self) -> None:
        """Show the run as running again; a tracker that is away is reported, not raised."""
        try:
            self._client.update_run(self.run_id, status="RUNNING")
        except MlflowException as error:
            log.warning("MLflow run %s could not be marked RUNNING: %s", self.run_id, error.message)

    def log_text(self, text: str, artifact: str) -> None:
        """Store a text artifact."""
        self._client.log_text(self.run_id, text, artifact)

    def log_bytes(self, data: bytes, artifact: str) -> None:
        """Store a binary artifact under its path `artifact`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(artifact).name
            path.write_bytes(data)
            parent = str(Path(artifact).parent)
            self._client.log_artifact(self.run_id, str(path), None if parent == "." else parent)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Store metrics and wait until they are."""
        self._client.log_batch(self.run_id, metrics=_entities(metrics, step))

    def set_tag(self, key: str, value: str) -> None:
        """Store a tag; a tracker that is away is reported, not raised."""
        try:
            self._client.set_tag(self.run_id, key, value)
        except MlflowException as error:
            log.warning("MLflow run %s could not be tagged %s=%s: %s", self.run_id, key, value, error.message)

    def children(self) -> list["ChildRun"]:
        """The runs below this one; none while the tracker is away, which is reported, not raised."""
        try:
            experiment = self._client.get_run(self.run_id).info.experiment_id
            found = self._client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{self.run_id}'", max_results=10_000)
        except MlflowException as error:
            log.warning("the runs below MLflow run %s could not be listed: %s", self.run_id, error.message)
            return []
        return [ChildRun(TrackedRun(self.uri, run.info.run_id), run.info.status, run.data.tags) for run in found]

    def finish(self, status: RunStatus) -> None:
        """End the run; a tracker that is away is reported, not raised."""
        try:
            self._client.set_terminated(self.run_id, status)
        except MlflowException as error:
            log.warning("MLflow run %s could not be marked %s: %s", self.run_id, status, error.message)


@dataclass(frozen=True)
class ChildRun:
    """A run below another, as it was when it was listed."""

    run: TrackedRun
    status: str
    tags: Mapping[str, str]


class MlflowSink:
    """`training.ports.MetricSink`: to a local file first, to MLflow in the background, in order.

    What a tracker that is away does not take waits here and is sent again, for as long as the run goes on and, at its
    end, until nothing has been taken for `PATIENCE_SECONDS`. MLflow's own asynchronous logging drops what its retries
    could not deliver (3.17).
    """

    def __init__(self, run: TrackedRun, spool: Path) -> None:
        self._run_id = run.run_id
        self._client = MlflowClient(run.uri)
        self._spool = spool
        self._waiting: queue.Queue[_Parcel | None] = queue.Queue()
        self._sent_at = 0.0
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `MetricSink`."""
        with self._spool.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._waiting.put(_entities(metrics, step))

    def write(self, name: str, text: str) -> None:
        """See `MetricSink`."""
        path = self._spool.with_name(name)
        path.write_text(text)
        self._waiting.put(path)

    def close(self) -> None:
        """See `MetricSink`."""
        self._waiting.put(self._spool)
        self._waiting.put(None)
        self._sent_at = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - self._sent_at < PATIENCE_SECONDS:
            self._thread.join(1)
        if self._thread.is_alive():
            log.warning("MLflow did not take all metrics of run %s; they are in %s", self._run_id, self._spool)

    def _send_all(self) -> None:
        while (parcel := self._waiting.get()) is not None:
            pause = 1.0
            while not self._sent(parcel):
                time.sleep(pause)
                pause = min(2 * pause, 10.0)
            self._sent_at = time.monotonic()

    def _sent(self, parcel: "_Parcel") -> bool:
        try:
            if isinstance(parcel, Path):
                self._client.log_artifact(self._run_id, str(parcel))
            else:
                self._client.log_batch(self._run_id, metrics=parcel)
        except (MlflowException, OSError) as error:
            log.warning("MLflow run %s: %s; trying again", self._run_id, error)
            return False
        return True


_Parcel = list[Metric] | Path
"""Metrics of a step, or a file."""


def _artifacts(uri: str) -> str | None:
    """Where a new experiment keeps its artifacts: beside an sqlite file, else where the server says."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()


def _entities(metrics: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in metrics.items()]
