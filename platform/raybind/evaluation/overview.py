"""Modalities bound to the same language encoder, in two tables: each against chance, and between one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybind.evaluation.cross_modal import retrieve_across
from raybind.evaluation.items import EmbeddedItems
from raybind.evaluation.report import EvaluationResult, score_cell, score_number
from raybind.evaluation.retrieval import RetrievalResult
from raybind.evaluation.sheet import Sheet

RECALL_AT = 10


@dataclass(frozen=True)
class Overview:
    """What was found about each modality, and between every two of them."""

    results: tuple[EvaluationResult, ...]
    across: dict[tuple[str, str], RetrievalResult]
    """By the two modalities; `item_to_text` leads from the first to the second."""


def overview(results: Sequence[EvaluationResult], embedded: Mapping[str, EmbeddedItems]) -> Overview:
    """Retrieve between every two modalities. Raises: DataError: they do not hold the same items."""
    names = list(embedded)
    pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    return Overview(tuple(results), {pair: retrieve_across(*(embedded[name] for name in pair)) for pair in pairs})


def overview_sheets(found: Overview) -> list[Sheet]:
    """Zero-shot accuracy by modality; emergent retrieval by pair of modalities."""
    sheets = [_zero_shot(found)]
    if found.across:
        sheets.append(_across(found))
    return sheets


def overview_metrics(found: Overview) -> dict[str, float]:
    """`emergent/<from>_to_<to>/recall_at_10` and `_chance`, in [0, 1]."""
    metrics = {}
    for (one, other), result in found.across.items():
        for name, direction in (
            (f"{one}_to_{other}", result.item_to_text),
            (f"{other}_to_{one}", result.text_to_item),
        ):
            score = direction.recall[RECALL_AT]
            stem = f"emergent/{name}/recall_at_{RECALL_AT}"
            metrics |= {stem: score.value, f"{stem}_chance": score.chance}
    return metrics


def _zero_shot(found: Overview) -> Sheet:
    rows = []
    for result in found.results:
        if result.classification is None:
            continue
        score = result.classification.scores()["top1"]
        before = result.untrained.classification if result.untrained else None
        rows.append(
            (
                result.modality,
                str(result.classification.num_classes),
                score_cell("top1", score),
                score_cell("top1", before.scores()["top1"] if before else None),
                score_number("top1", score.chance),
            )
        )
    split = found.results[0].split
    columns = ("modality", "classes", "top-1, %", "before training, %", "chance, %")
    return Sheet(f"Zero-shot accuracy, {split} split", "[95 % interval]", columns, rows)


def _across(found: Overview) -> Sheet:
    rows = []
    for (one, other), result in found.across.items():
        there, back = result.item_to_text.recall[RECALL_AT], result.text_to_item.recall[RECALL_AT]
        row = (f"{one} - {other}", *(score_cell("recall", score) for score in (there, back)))
        rows.append((*row, score_number("recall", there.chance)))
    title = f"Emergent retrieval, R@{RECALL_AT}, %"
    note = "between modalities never trained together; [95 % interval]"
    return Sheet(title, note, ("a - b", "a -> b", "b -> a", "chance"), rows)
