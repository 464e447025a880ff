"""Our column beside the paper's: what is compared, and when a score stands in brackets."""

import csv
import io
import re

import pytest
import torch

from raybind.config.benchmark import Benchmark, BenchmarkConfig
from raybind.evaluation.benchmark import run_task
from raybind.evaluation.items import EmbeddedItems, Item
from raybind.evaluation.paper_tables import (
    BenchmarkResult,
    Missing,
    benchmark_sheets,
    paper_sheets,
    suite_csv,
    suite_json,
    suite_metrics,
    task_name,
)
from raybind.evaluation.sheet import sheets_markdown
from raybind.modalities.media.sound import NO_SOUND

TASKS = [
    {
        "kind": "retrieval",
        "items": ["video"],
        "reported": [
            {"table": 2, "metric": "recall_at_1", "figures": {"LanguageBind": 42.6, "Other": 40.0}, "note": "a remark"},
            {"table": 11, "metric": "reverse/median_rank", "figures": {"LanguageBind": 3.0}},
        ],
    },
    {
        "kind": "retrieval",
        "items": ["video", "audio"],
        "requires": ["audio"],
        "reported": [{"table": 6, "metric": "recall_at_1", "figures": {"LanguageBind": 42.0}}],
    },
]


def result_of(number: int, published: int, missing: tuple[Missing, ...] = (), silent: int = 0) -> BenchmarkResult:
    """A benchmark of videos and their sounds, every caption found at once."""
    config = BenchmarkConfig.model_validate(
        {
            "name": "films",
            "title": "Films",
            "home": "-",
            "licence": "-",
            "layout": "-",
            "num_items": published,
            "source": {"kind": "table", "tables": [{"file": "a", "form": "csv", "id": "{id}"}], "media": {}},
            "tasks": TASKS,
        }
    )
    vectors = torch.eye(number)
    items = tuple(Item(f"item{place}", (f"{place}",), {}) for place in range(number))
    embedded = {
        "video": EmbeddedItems(items, vectors),
        "audio": EmbeddedItems(items[silent:], vectors[silent:]),
    }
    benchmark = Benchmark(config=config)
    tasks = (
        run_task(task, benchmark, embedded, lambda texts: vectors[[int(text) for text in texts]])
        for task in config.tasks
    )
    return BenchmarkResult(benchmark, tuple(tasks), missing=missing)


def rows_of(result: BenchmarkResult, title: str) -> list[dict[str, str]]:
    (sheet,) = (sheet for sheet in paper_sheets([result]) if sheet.title.startswith(title))
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


def test_difference_is_ours_less_the_papers_in_its_own_units() -> None:
    result = result_of(20, 20)
    (row,) = rows_of(result, "Table 2.")
    assert row["ours"].startswith("100.0 [")
    assert (row["LanguageBind"], row["difference"], row["Other"]) == ("42.6", "+57.4", "40.0")
    assert row["benchmark"] == "Films, text -> video"
    (row,) = rows_of(result, "Table 11.")
    assert (row["benchmark"], row["metric"], row["difference"]) == ("Films, video -> text", "median rank", "-2.0")


def test_all_published_items_need_no_brackets_and_fewer_do() -> None:
    assert "(" not in rows_of(result_of(20, 20), "Table 2.")[0]["ours"]
    assert rows_of(result_of(20, 21), "Table 2.")[0]["ours"].startswith("(100.0 [")
    assert "fewer than published" in benchmark_sheets([result_of(20, 21)])[0].note


def test_silent_videos_are_left_out_of_sound_without_brackets() -> None:
    silent = tuple(Missing(f"item{place}", "audio", NO_SOUND) for place in range(3))
    result = result_of(20, 20, silent, silent=3)
    assert [result.complete(found) for found in result.tasks] == [True, True]
    assert [len(found.ids) for found in result.tasks] == [20, 17]


@pytest.mark.parametrize(("modality", "complete"), [("audio", [True, False]), ("video", [False, False])])
def test_item_that_could_not_be_read_brackets_the_tasks_it_belongs_to(modality: str, complete: list[bool]) -> None:
    result = result_of(20, 20, (Missing("item3", modality, "file is missing"),))
    assert [result.complete(found) for found in result.tasks] == complete
    notes = [sheet.note for sheet in benchmark_sheets([result])]
    assert ["1 are missing, the first item3" in note for note in notes] == [not one for one in complete]


def test_tasks_on_the_same_media_have_names_of_their_own() -> None:
    first, second = result_of(20, 20).benchmark.config.tasks
    assert task_name(first) == "text_to_video"
    assert task_name(second) == "text_to_video_and_audio"
    assert task_name(first.model_copy(update={"requires": ("audio",)})) == "text_to_video_having_audio"


def test_files_hold_every_score_once() -> None:
    results = [result_of(20, 20)]
    file = io.StringIO()
    csv.writer(file).writerows(suite_csv(results))
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    scores = {
        (task_name(found.task), name): score for found in results[0].tasks for name, score in found.scores().items()
    }
    assert {(row["task"], row["metric"]) for row in rows} == set(scores)
    assert len(rows) == len(scores)
    assert all(float(row["value"]) == pytest.approx(scores[row["task"], row["metric"]].value) for row in rows)
    metrics = suite_metrics(results)
    assert metrics["films/text_to_video/recall_at_1"] == 1.0
    assert len(metrics) == 4 * len(scores)
    assert all(re.fullmatch(r"[\w\-. :/]+", name, re.ASCII) for name in metrics), "what MLflow takes"
    assert '"films"' in suite_json(results)


def test_remarks_stand_below_their_table_once() -> None:
    markdown = sheets_markdown(paper_sheets([result_of(20, 20)]))
    assert markdown.count("- Films: a remark") == 1
