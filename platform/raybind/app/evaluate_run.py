"""Running an evaluation: encoder and untrained encoder over the split, tables, files and the MLflow record."""

import dataclasses
import json
from pathlib import Path

import torch

from raybind.app.console import console
from raybind.app.evaluate import find_checkpoint
from raybind.config.evaluate import EvaluateConfig
from raybind.config.train import TrainConfig
from raybind.data.manifest import read_split
from raybind.data.reader import SampleReader
from raybind.data.storage import open_storage
from raybind.evaluation.evaluate import evaluate
from raybind.evaluation.items import embed_items, read_items
from raybind.evaluation.pictures import confusion_png
from raybind.evaluation.report import EvaluationResult, to_json, to_markdown, to_metrics, to_tables
from raybind.integrations.mlflow import TrackedRun, tracking_uri
from raybind.modalities import get_modality
from raybind.model.architecture import read_architecture
from raybind.model.bound import BoundModel
from raybind.model.encode import text_encoder
from raybind.model.prompts import modality_templates
from raybind.model.tokenizer import Tokenizer
from raybind.training.checkpoint import load_model
from raybind.training.task import input_shape, starting_model

RUN_RECORD = "raybind-run.json"


def run(config: EvaluateConfig) -> EvaluationResult:
    """Evaluate a checkpoint and show what was found. Raises: RayBindError."""
    storage = find_checkpoint(config.checkpoint)
    model, state = load_model(storage)
    console.print(f"checkpoint {storage.root}, step {state.step}")
    result = _evaluate(model, state.config, config)
    if config.untrained:
        untrained, _ = starting_model(state.config)
        result = dataclasses.replace(result, untrained=_evaluate(untrained.eval(), state.config, config))
    for table in to_tables(result):
        console.print(table)
    pictures = _pictures(result)
    if config.output is not None:
        _write(Path(config.output), result, pictures)
    _record(config, state.config, result, pictures)
    return result


def _evaluate(model: BoundModel, trained: TrainConfig, config: EvaluateConfig) -> EvaluationResult:
    data = trained.data
    if config.text_source is not None:
        data = data.model_copy(update={"text_source": config.text_source})
    arch = read_architecture(trained.model.base.architecture)
    index = read_split(open_storage(config.root or data.root), data.modality, config.split)
    reader = SampleReader(index, data, input_shape(trained), trained.run.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    tokenizer = Tokenizer(arch.text.vocab_size, arch.text.context_length)
    return evaluate(
        embed_items(
            lambda pixels: model.encoder(pixels.to(device)), read_items(reader, range(len(index)), config.batch_size)
        ),
        text_encoder(model.language, tokenizer, device),
        data.modality,
        config.split,
        config.label_set,
        modality_templates(get_modality(data.modality).photo_words),
    )


def _pictures(result: EvaluationResult) -> dict[str, bytes]:
    if result.classification is None:
        return {}
    title = f"{result.modality}, {result.split}: zero-shot by {result.label_set}"
    return {"confusion.png": confusion_png(result.classification, title)}


def _write(folder: Path, result: EvaluationResult, pictures: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(to_json(result))
    (folder / "result.md").write_text(to_markdown(result))
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    console.print(f"written to {folder}: result.json, result.md, {', '.join(pictures)}")


def _record(config: EvaluateConfig, trained: TrainConfig, result: EvaluationResult, pictures: dict[str, bytes]) -> None:
    """Into the MLflow run of the training, where the checkpoint lies in its run's folder and the tracker knows it."""
    run_folder = open_storage(trained.run.output).below(trained.run.name)
    if not run_folder.exists(RUN_RECORD):
        console.print(f"not recorded in MLflow: {run_folder.root} has no {RUN_RECORD}")
        return
    run_id = json.loads(run_folder.read(RUN_RECORD))["mlflow_run_id"]
    tracking = config.tracking if config.tracking.uri is not None else trained.tracking
    run = TrackedRun(tracking_uri(tracking, trained.run.output), run_id)
    run.log_metrics({f"evaluation/{name}": value for name, value in to_metrics(result).items()})
    run.log_text(to_markdown(result), f"evaluation/{result.split}/result.md")
    run.log_text(to_json(result), f"evaluation/{result.split}/result.json")
    for name, png in pictures.items():
        run.log_bytes(png, f"evaluation/{result.split}/{name}")
    console.print(f"recorded in MLflow run {run_id} at {run.uri}")
