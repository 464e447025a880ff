"""Running an evaluation on one split: encoder and untrained encoder, tables, files and the MLflow record."""

import dataclasses
import json
from pathlib import Path

from raybind.app.console import console, show_sheet
from raybind.app.encoders import Embeddings, Encoder, Split, open_encoder
from raybind.app.gallery import Gallery, reader_of
from raybind.app.split_pictures import shared_space_png, split_pictures
from raybind.app.tracked_run import run_of
from raybind.config.data import DataConfig
from raybind.config.evaluate import EvaluateConfig
from raybind.data.manifest import MANIFEST_NAME, SplitIndex, read_split
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from raybind.evaluation.evaluate import evaluate
from raybind.evaluation.items import EmbeddedItems
from raybind.evaluation.overview import Overview, overview, overview_metrics, overview_sheets
from raybind.evaluation.report import EvaluationResult, to_json, to_markdown, to_metrics, to_sheets
from raybind.evaluation.sheet import sheets_markdown
from raybind.modalities import get_modality
from raybind.model.prompts import modality_templates


def run(config: EvaluateConfig) -> None:
    """Evaluate encoders and show what was found. Raises: RayBindError."""
    results: list[EvaluationResult] = []
    embedded: dict[str, EmbeddedItems] = {}
    encoders = [open_encoder(location) for location in (config.checkpoint, *config.also)]
    embeddings = Embeddings(config)
    for encoder in encoders:
        result, items = _evaluate_encoder(encoder, embeddings, config)
        embedded[result.modality] = items
        results.append(result)
    if not config.also:
        return
    if (images := _base_images(encoders[-1], embeddings, config)) is not None:
        embedded.setdefault("image", images)
    space = shared_space_png(embedded, embeddings.texts(encoders[0]), config.split)
    _show_overview(overview(results, embedded), space, config)


def _evaluate_encoder(
    encoder: Encoder, embeddings: Embeddings, config: EvaluateConfig
) -> tuple[EvaluationResult, EmbeddedItems]:
    step = encoder.trained.provenance.get("step")
    console.print(f"{encoder.trained.modality} encoder {encoder.location}{f', step {step}' if step else ''}")
    result, embedded = _evaluate(encoder, embeddings, config)
    before = encoder.untrained() if config.untrained else None
    if before is not None:
        result = dataclasses.replace(result, untrained=_evaluate(before, embeddings, config)[0])
    for sheet in to_sheets(result):
        show_sheet(sheet)
    pictures = _pictures(encoder, embeddings, config, result, embedded)
    if config.output is not None:
        folder = Path(config.output)
        _write(folder / result.modality if config.also else folder, result, pictures)
    _record(config, encoder, result, pictures)
    return result, embedded


def _evaluate(
    encoder: Encoder, embeddings: Embeddings, config: EvaluateConfig
) -> tuple[EvaluationResult, EmbeddedItems]:
    data, index = _split(encoder, config)
    (embedded,) = embeddings.items(encoder, [Split(index, data)])
    modality, templates = encoder.trained.modality, _templates(encoder, config)
    encode_texts = embeddings.texts(encoder)
    return evaluate(embedded, encode_texts, modality, config.split, config.label_set, templates), embedded


def _split(encoder: Encoder, config: EvaluateConfig) -> tuple[DataConfig, SplitIndex]:
    data = _data(encoder, config)
    return data, read_split(open_storage(data.root), encoder.trained.modality, config.split)


def _templates(encoder: Encoder, config: EvaluateConfig) -> tuple[str, ...]:
    own = modality_templates(get_modality(encoder.trained.modality).photo_words)
    return config.templates or encoder.trained.prompts or own


def _data(encoder: Encoder, config: EvaluateConfig) -> DataConfig:
    """The data to evaluate on, and which of its texts."""
    if encoder.config is not None:
        data = encoder.config.data
    elif config.root is not None:
        data = DataConfig(root=config.root, modality=encoder.trained.modality, text_source="caption")
    else:
        raise ConfigError(f"{encoder.location} does not say on which data it was trained; set root")
    asked = {"root": config.root, "text_source": config.text_source}
    return data.model_copy(update={key: value for key, value in asked.items() if value is not None})


def _base_images(encoder: Encoder, embeddings: Embeddings, config: EvaluateConfig) -> EmbeddedItems | None:
    """The images of the split as the base sees them; None where none are packed."""
    data, images = _data(encoder, config), encoder.of_images()
    root = open_storage(data.root)
    if images is None or not root.exists(f"image/{MANIFEST_NAME}"):
        return None
    return embeddings.items(images, [Split(read_split(root, "image", config.split), data)])[0]


def _show_overview(found: Overview, space: bytes, config: EvaluateConfig) -> None:
    sheets = overview_sheets(found)
    for sheet in sheets:
        show_sheet(sheet)
    if config.output is not None:
        folder = Path(config.output)
        (folder / "overview.md").write_text(sheets_markdown(sheets))
        (folder / "overview.json").write_text(json.dumps(overview_metrics(found), indent=2))
        (folder / "space.png").write_bytes(space)
        console.print(f"written to {folder}: overview.md, overview.json, space.png")


def _pictures(
    encoder: Encoder, embeddings: Embeddings, config: EvaluateConfig, result: EvaluationResult, embedded: EmbeddedItems
) -> dict[str, bytes]:
    data, index = _split(encoder, config)
    gallery = Gallery({result.modality: reader_of(encoder, data, index)})
    return split_pictures(result, embedded, embeddings.texts(encoder), _templates(encoder, config), gallery)


def _write(folder: Path, result: EvaluationResult, pictures: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(to_json(result))
    (folder / "result.md").write_text(to_markdown(result))
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    console.print(f"written to {folder}: result.json, result.md, {', '.join(pictures)}")


def _record(config: EvaluateConfig, encoder: Encoder, result: EvaluationResult, pictures: dict[str, bytes]) -> None:
    run = run_of(encoder, config)
    if run is None:
        return
    run.log_metrics({f"evaluation/{name}": value for name, value in to_metrics(result).items()})
    run.log_text(to_markdown(result), f"evaluation/{result.split}/result.md")
    run.log_text(to_json(result), f"evaluation/{result.split}/result.json")
    for name, png in pictures.items():
        run.log_bytes(png, f"evaluation/{result.split}/{name}")
    console.print(f"recorded in MLflow run {run.run_id} at {run.uri}")
