"""Running an evaluation: encoder and untrained encoder over the split, tables, files and the MLflow record."""

import dataclasses
import json
from pathlib import Path

import torch

from raybind.app.console import console
from raybind.app.evaluate import find_checkpoint
from raybind.config.data import DataConfig
from raybind.config.evaluate import EvaluateConfig
from raybind.config.model import ModelConfig
from raybind.config.train import TrainConfig
from raybind.data.manifest import MANIFEST_NAME, read_split
from raybind.data.reader import SampleReader
from raybind.data.storage import open_storage
from raybind.evaluation.evaluate import evaluate
from raybind.evaluation.items import EmbeddedItems, embed_items, read_items
from raybind.evaluation.overview import Overview, overview, overview_metrics, overview_sheets
from raybind.evaluation.pictures import confusion_png
from raybind.evaluation.report import EvaluationResult, to_json, to_markdown, to_metrics, to_tables
from raybind.evaluation.sheet import sheet_table, sheets_markdown
from raybind.integrations.mlflow import TrackedRun, tracking_uri
from raybind.modalities import get_modality
from raybind.model.bound import BoundModel
from raybind.model.encode import text_encoder
from raybind.model.prompts import modality_templates
from raybind.model.tokenizer import Tokenizer
from raybind.training.checkpoint import load_model
from raybind.training.task import input_shape, starting_model

RUN_RECORD = "raybind-run.json"


def run(config: EvaluateConfig) -> None:
    """Evaluate checkpoints and show what was found. Raises: RayBindError."""
    results: list[EvaluationResult] = []
    embedded: dict[str, EmbeddedItems] = {}
    for location in (config.checkpoint, *config.also):
        trained, result, items = _evaluate_checkpoint(location, config)
        embedded[result.modality] = items
        results.append(result)
    if not config.also:
        return
    if (images := _base_images(trained, config)) is not None:
        embedded.setdefault("image", images)
    _show_overview(overview(results, embedded), config)


def _evaluate_checkpoint(location: str, config: EvaluateConfig) -> tuple[TrainConfig, EvaluationResult, EmbeddedItems]:
    storage = find_checkpoint(location)
    model, state = load_model(storage)
    console.print(f"checkpoint {storage.root}, step {state.step}")
    result, embedded = _evaluate(model, state.config, config)
    if config.untrained:
        untrained, _ = starting_model(state.config)
        result = dataclasses.replace(result, untrained=_evaluate(untrained.eval(), state.config, config)[0])
    for table in to_tables(result):
        console.print(table)
    pictures = _pictures(result)
    if config.output is not None:
        folder = Path(config.output)
        _write(folder / result.modality if config.also else folder, result, pictures)
    _record(config, state.config, result, pictures)
    return state.config, result, embedded


def _evaluate(
    model: BoundModel, trained: TrainConfig, config: EvaluateConfig
) -> tuple[EvaluationResult, EmbeddedItems]:
    data = trained.data
    if config.text_source is not None:
        data = data.model_copy(update={"text_source": config.text_source})
    embedded = _embed(model, trained.model_copy(update={"data": data}), config)
    text = model.arch.text
    encode_texts = text_encoder(model.language, Tokenizer(text.vocab_size, text.context_length), _device())
    templates = config.templates or modality_templates(get_modality(data.modality).photo_words)
    return evaluate(embedded, encode_texts, data.modality, config.split, config.label_set, templates), embedded


def _embed(model: BoundModel, trained: TrainConfig, config: EvaluateConfig) -> EmbeddedItems:
    data, device = trained.data, _device()
    model.to(device)
    index = read_split(open_storage(config.root or data.root), data.modality, config.split)
    reader = SampleReader(index, data, input_shape(trained), trained.run.seed)
    items = read_items(reader, range(len(index)), config.workers.batch_size)
    return embed_items(lambda pixels: model.encoder(pixels.to(device)), items)


def _base_images(trained: TrainConfig, config: EvaluateConfig) -> EmbeddedItems | None:
    """The images of the split as the base sees them, untouched by any training here; None where none are packed."""
    root = open_storage(config.root or trained.data.root)
    if not root.exists(f"image/{MANIFEST_NAME}"):
        return None
    as_images = trained.model_copy(
        update={
            "data": DataConfig(root=trained.data.root, modality="image", text_source=trained.data.text_source),
            "model": ModelConfig(base=trained.model.base, tuning="full"),
        }
    )
    return _embed(starting_model(as_images)[0].eval(), as_images, config)


def _show_overview(found: Overview, config: EvaluateConfig) -> None:
    sheets = overview_sheets(found)
    for sheet in sheets:
        console.print(sheet_table(sheet))
    if config.output is not None:
        folder = Path(config.output)
        (folder / "overview.md").write_text(sheets_markdown(sheets))
        (folder / "overview.json").write_text(json.dumps(overview_metrics(found), indent=2))
        console.print(f"written to {folder}: overview.md, overview.json")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
