"""The ranking says which trial was best, how sure that is, and what became of the others."""

import io
import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from raybind.app.sweep_records import Report, TrialRecord
from raybind.app.sweep_report import draw, rank, to_json, to_markdown, to_table
from raybind.config.sweep import SweepConfig

TOP1 = "val/zero_shot/top1"


def config(metric: str = TOP1, mode: str = "max") -> SweepConfig:
    return SweepConfig.model_validate(
        {"name": "ranks", "preset": "p.yaml", "space": {"model.lora.rank": [2]}, "metric": metric, "mode": mode}
    )


def record(place: int, values: list[float], state: str, total_steps: int = 20) -> TrialRecord:
    reports = [
        Report(
            step,
            64 * step,
            {TOP1: value, f"{TOP1}_low": value - 0.1, f"{TOP1}_high": value + 0.1, f"{TOP1}_chance": 0.05},
        )
        for step, value in zip(range(5, 21, 5), values, strict=False)
    ]
    return TrialRecord(
        place=place,
        name=f"trial-{place:02}",
        values={"rank": str(2 * place)},
        settings={"model.lora.rank": 2 * place},
        total_steps=total_steps,
        state=state,  # type: ignore[arg-type]
        reports=reports,
        seconds=31.4,
        cause="the loss of step 3 is nan" if state == "failed" else "",
        run_id=f"{place}0123456789abcdef",
    )


@pytest.fixture
def records() -> list[TrialRecord]:
    return [
        record(1, [], "failed"),
        record(2, [0.2, 0.3, 0.35, 0.4], "finished"),
        record(3, [0.15], "stopped early"),
        record(4, [0.3, 0.4, 0.5, 0.6], "finished"),
    ]


def test_the_best_last_value_comes_first_and_trials_without_one_last(records: list[TrialRecord]) -> None:
    assert [r.name for r in rank(records, TOP1, "max")] == ["trial-04", "trial-02", "trial-03", "trial-01"]
    assert [r.name for r in rank(records, TOP1, "min")] == ["trial-03", "trial-02", "trial-04", "trial-01"]


def test_the_table_shows_value_interval_progress_status_and_run(records: list[TrialRecord]) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(to_table(config(), rank(records, TOP1, "max")))
    lines = console.export_text().splitlines()
    best, stopped = (next(line for line in lines if name in line) for name in ("trial-04", "trial-03"))
    for text in ("60.0% [50.0%, 70.0%]", "20/20", "1,280", "31", "finished", "40123456"):
        assert text in best
    for text in ("15.0%", "5/20", "320", "stopped early"):
        assert text in stopped


def test_status_says_where_a_trial_ended(records: list[TrialRecord]) -> None:
    statuses = [r.status for r in records]
    assert statuses[0] == "failed: the loss of step 3 is nan"
    assert statuses[1:] == ["finished", "stopped early at step 5 of 20", "finished"]


def test_markdown_tells_why_trials_failed(records: list[TrialRecord]) -> None:
    text = to_markdown(config(), rank(records, TOP1, "max"))
    assert "| 1 | trial-04 | 8 | 60.0% [50.0%, 70.0%] |" in text
    assert "- trial-01 failed: the loss of step 3 is nan" in text


def test_json_holds_every_validation(records: list[TrialRecord]) -> None:
    values = json.loads(to_json(config(), rank(records, TOP1, "max")))
    assert [trial["rank"] for trial in values["trials"]] == [1, 2, 3, 4]
    assert values["trials"][0]["settings"] == {"model.lora.rank": 8}
    assert [report["metrics"][TOP1] for report in values["trials"][1]["reports"]] == [0.2, 0.3, 0.35, 0.4]


def test_the_picture_has_a_panel_along_the_axis_where_there_is_one(records: list[TrialRecord]) -> None:
    ranked = rank(records, TOP1, "max")
    one = cv2.imdecode(np.frombuffer(draw(config(), ranked), np.uint8), cv2.IMREAD_COLOR)
    for r in ranked:
        r.values["mask_ratio"] = "0.5"
    two = cv2.imdecode(np.frombuffer(draw(config(), ranked), np.uint8), cv2.IMREAD_COLOR)
    assert one.shape[1] > two.shape[1] > 500


def test_a_sweep_in_which_nothing_succeeded_is_shown_too(records: list[TrialRecord]) -> None:
    ranked = rank(records[:1], TOP1, "max")
    assert "| - | 0/20 |" in to_markdown(config(), ranked)
    assert draw(config(), ranked).startswith(b"\x89PNG")
