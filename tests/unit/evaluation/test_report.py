"""The report shows the scores it was given, in every form."""

import dataclasses
import io
import json
import math

import pytest
import torch
from rich.console import Console

from raybind.evaluation.report import EvaluationResult, to_json, to_markdown, to_metrics, to_sheets
from raybind.evaluation.retrieval import gather_captions, retrieve
from raybind.evaluation.sheet import sheet_table
from raybind.evaluation.zero_shot import classify


def evaluate(noise: float, untrained: EvaluationResult | None = None) -> EvaluationResult:
    rng = torch.Generator().manual_seed(0)
    classes = torch.nn.functional.normalize(torch.randn(8, 16, generator=rng), dim=1)
    labels = torch.arange(110) % 7
    items = torch.nn.functional.normalize(classes[labels] + noise * torch.randn(110, 16, generator=rng), dim=1)
    names = [f"[bold]room {i}" for i in range(8)]
    captions = gather_captions([[names[label]] for label in labels])
    return EvaluationResult(
        modality="depth",
        split="val",
        label_set="scene",
        classification=classify(items, classes, labels, names),
        retrieval=retrieve(items, classes[:7], captions.pairs),
        untrained=untrained,
    )


@pytest.fixture(scope="module")
def result() -> EvaluationResult:
    return evaluate(noise=0.3, untrained=evaluate(noise=5.0))


def test_console_shows_scores_with_intervals_beside_their_references_in_80_columns(result):
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(*map(sheet_table, to_sheets(result)))
    text = console.export_text()
    top1 = result.classification.top1
    line = next(line for line in text.splitlines() if "top-1" in line)
    assert f"{100 * top1.value:.1f} [{100 * top1.low:.1f}, {100 * top1.high:.1f}]" in line
    before = result.untrained.classification.top1
    assert f"{100 * before.value:.1f} [{100 * before.low:.1f}, {100 * before.high:.1f}]" in line
    assert line.split("│")[-3:-1] == [f"{'12.5':>7} ", f"{100 * top1.majority:9.1f} "]
    assert "text -> depth" in text
    assert "depth -> text" in text
    assert "[95 % interval]" in text
    assert "…" not in text


def test_markdown_has_a_table_for_each_task(result):
    text = to_markdown(result)
    assert text.count("| metric | encoder | untrained encoder | chance |") == 3
    widths = {line.count("|") for block in text.split("###")[1:] for line in block.splitlines() if line.startswith("|")}
    assert widths == {5, 6}


def test_metrics_are_flat_finite_floats(result):
    metrics = to_metrics(result)
    assert metrics["val/zero_shot/top1"] == result.classification.top1.value
    assert metrics["val/zero_shot/top1_low"] < metrics["val/zero_shot/top1"] < metrics["val/zero_shot/top1_high"]
    assert metrics["val/zero_shot/class_mean_chance"] == 1 / 8
    assert metrics["val/zero_shot/top1_majority"] == 16 / 110
    assert metrics["val/zero_shot/top1_untrained_high"] == result.untrained.classification.top1.high
    assert metrics["val/retrieval/text_to_item/recall_at_1"] == result.retrieval.text_to_item.recall[1].value
    assert "val/retrieval/item_to_text/median_rank_majority" not in metrics
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())


def test_json_holds_the_detail(result):
    values = json.loads(to_json(result))
    assert values["per_class_accuracy"]["[bold]room 7"] is None
    assert values["confusion"]["counts"] == result.classification.confusion.tolist()
    assert values["scores"]["zero_shot/top1"]["low"] == result.classification.top1.low
    assert values["untrained"]["scores"].keys() == values["scores"].keys()


@pytest.mark.parametrize("missing", ["classification", "retrieval", "untrained"])
def test_what_was_not_evaluated_is_not_shown(result, missing):
    part = dataclasses.replace(result, **{missing: None})
    assert len(to_sheets(part)) == {"classification": 2, "retrieval": 1, "untrained": 3}[missing]
    task = {"classification": "zero_shot", "retrieval": "retrieval", "untrained": "_untrained"}[missing]
    own = [name for name in to_metrics(part) if "_untrained" not in name or missing == "untrained"]
    assert not any(task in name for name in own)
    assert json.loads(to_json(part))["modality"] == "depth"
