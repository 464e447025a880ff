"""What an evaluation found, for people (console, Markdown) and for programs (JSON, flat metrics for a tracker).

Every form is made from the same `EvaluationResult`; nothing is computed here.
"""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np

from raybind.evaluation.metrics import Score
from raybind.evaluation.retrieval import RetrievalResult
from raybind.evaluation.sheet import Sheet, sheets_markdown
from raybind.evaluation.zero_shot import ClassificationResult

_LABELS = {
    "top1": "top-1, %",
    "top5": "top-5, %",
    "class_mean": "class mean, %",
    "mean_average_precision": "mAP, %",
    "recall_at_1": "R@1, %",
    "recall_at_5": "R@5, %",
    "recall_at_10": "R@10, %",
    "median_rank": "median rank",
    "mean_rank": "mean rank",
}
"""What each metric is called in a table; ranks are the ones whose name ends in `_rank`."""


@dataclass(frozen=True)
class EvaluationResult:
    """One encoder on one split of one data set; a task that the data cannot carry is None."""

    modality: str
    split: str
    label_set: str
    """Which labels of the samples were the classes, e.g. "scene"."""
    classification: ClassificationResult | None
    retrieval: RetrievalResult | None
    untrained: "EvaluationResult | None" = None
    """The same tasks with the encoder as it was before training."""


def to_markdown(result: EvaluationResult) -> str:
    """The tables in Markdown."""
    return sheets_markdown(to_sheets(result))


def to_json(result: EvaluationResult) -> str:
    """Everything but the single answers: scores, accuracy of each class, confusion matrix, sizes."""
    return json.dumps(_as_values(result), indent=2, allow_nan=False)


def to_metrics(result: EvaluationResult) -> dict[str, float]:
    """Flat names for a metric store.

    `<split>/<task>/<metric>` with the suffixes `_low`, `_high` (95 % interval), `_chance`, `_majority`, `_untrained`,
    `_untrained_low` and `_untrained_high`, where they exist; proportions in [0, 1]. Examples: `val/zero_shot/top1`,
    `val/retrieval/text_to_item/recall_at_10_low`.
    """
    metrics = {}
    for name, score in _scores(result).items():
        stem = f"{result.split}/{name}"
        named = {"": score.value, "_low": score.low, "_high": score.high, "_chance": score.chance}
        metrics |= {stem + suffix: value for suffix, value in named.items()}
        if score.majority is not None:
            metrics[f"{stem}_majority"] = score.majority
    for name, score in _scores(result.untrained).items():
        stem = f"{result.split}/{name}_untrained"
        metrics |= {stem: score.value, f"{stem}_low": score.low, f"{stem}_high": score.high}
    return metrics


def _tasks(result: EvaluationResult) -> dict[str, dict[str, Score]]:
    """The scores of each task, by metric."""
    tasks = {}
    if result.classification:
        tasks["zero_shot"] = result.classification.scores()
    if result.retrieval:
        tasks["retrieval/text_to_item"] = result.retrieval.text_to_item.scores()
        tasks["retrieval/item_to_text"] = result.retrieval.item_to_text.scores()
    return tasks


def _scores(result: EvaluationResult | None) -> dict[str, Score]:
    """All scores by `<task>/<metric>`."""
    tasks = _tasks(result) if result else {}
    return {f"{task}/{name}": score for task, scores in tasks.items() for name, score in scores.items()}


def to_sheets(result: EvaluationResult) -> list[Sheet]:
    """The tables: zero-shot classification, then retrieval in each direction."""
    return [_sheet(result, task, *heading) for task, heading in _headings(result).items()]


def _headings(result: EvaluationResult) -> dict[str, tuple[str, str]]:
    """Title and note of each task."""
    headings = {}
    if found := result.classification:
        headings["zero_shot"] = (
            f"Zero-shot classification of {result.modality}, {result.split} split",
            f"{found.num_items} items, {found.num_classes} classes ({result.label_set}); [95 % interval]; "
            "majority: always the most frequent class",
        )
    if found := result.retrieval:
        texts, items = found.text_to_item.num_queries, found.item_to_text.num_queries
        note = f"{items} items, {texts} different texts; [95 % interval]; ranks: lower is better"
        headings["retrieval/text_to_item"] = (f"Retrieval text -> {result.modality}, {result.split} split", note)
        headings["retrieval/item_to_text"] = (f"Retrieval {result.modality} -> text, {result.split} split", note)
    return headings


def _sheet(result: EvaluationResult, task: str, title: str, note: str) -> Sheet:
    scores, untrained = _tasks(result)[task], _scores(result.untrained)
    columns = ["metric", "encoder", "untrained encoder", "chance", "majority"]
    rows = [
        (
            _LABELS[name],
            score_cell(name, score),
            score_cell(name, untrained.get(f"{task}/{name}")),
            score_number(name, score.chance),
            score_number(name, score.majority),
        )
        for name, score in scores.items()
    ]
    width = 5 if task == "zero_shot" else 4  # no constant answer exists in retrieval
    return Sheet(title, note, tuple(columns[:width]), [row[:width] for row in rows])


def metric_label(name: str) -> str:
    """What a metric is called in a table."""
    return _LABELS[name]


def score_cell(name: str, score: Score | None) -> str:
    """`12.3 [10.1, 14.9]`: percent, or a rank; `-` where there is no score."""
    if score is None:
        return "-"
    return f"{score_number(name, score.value)} [{score_number(name, score.low)}, {score_number(name, score.high)}]"


def score_number(name: str, value: float | None) -> str:
    """Percent with one digit; a rank as it is."""
    if value is None:
        return "-"
    return f"{value:.1f}" if name.endswith("_rank") else f"{100 * value:.1f}"


def _as_values(result: EvaluationResult) -> dict[str, object]:
    values: dict[str, object] = {"modality": result.modality, "split": result.split, "label_set": result.label_set}
    values["scores"] = {name: dataclasses.asdict(score) for name, score in _scores(result).items()}
    if found := result.classification:
        accuracy = [None if np.isnan(value) else value for value in found.per_class_accuracy.tolist()]
        values["num_items"] = found.num_items
        values["per_class_accuracy"] = dict(zip(found.class_names, accuracy, strict=True))
        values["confusion"] = {"class_names": found.class_names, "counts": found.confusion.tolist()}
    if result.retrieval:
        values["num_texts"] = result.retrieval.text_to_item.num_queries
        values["num_items"] = result.retrieval.item_to_text.num_queries
    values["untrained"] = _as_values(result.untrained) if result.untrained else None
    return values
