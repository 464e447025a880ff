"""The MLflow run of a training that an encoder comes from, for what is found out about it later."""

import json

from raybind.app.console import console
from raybind.app.encoders import Encoder
from raybind.app.train import RUN_RECORD
from raybind.config.evaluate import EvaluateConfig
from raybind.data.storage import open_storage
from raybind.integrations.mlflow import TrackedRun, tracking_uri


def run_of(encoder: Encoder, config: EvaluateConfig) -> TrackedRun | None:
    """The run; None, and said, where the encoder comes from none or its folder has no record."""
    trained = encoder.config
    if trained is None:
        console.print(f"not recorded in MLflow: {encoder.location} is not of a run")
        return None
    folder = open_storage(trained.run.output).below(trained.run.name)
    if not folder.exists(RUN_RECORD):
        console.print(f"not recorded in MLflow: {folder.root} has no {RUN_RECORD}")
        return None
    run_id = json.loads(folder.read(RUN_RECORD))["mlflow_run_id"]
    tracking = config.tracking if config.tracking.uri is not None else trained.tracking
    return TrackedRun(tracking_uri(tracking, trained.run.output), run_id)
