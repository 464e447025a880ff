"""A benchmark's items in the words that prompts use."""

import copy
from pathlib import Path

import pytest

from raybind.config.benchmark import BenchmarkConfig
from raybind.construction.benchmarks import BenchmarkSource
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from raybind.evaluation.benchmark_files import benchmark_names, read_benchmark
from raybind.modalities import modality_names
from tests.miniatures.base import sound


def source_of(folder: Path, labels: str, classes: dict | None = None, separator: str | None = None) -> BenchmarkSource:
    """Sounds whose classes stand in a csv file."""
    (folder / "a.csv").write_text("file,label\n" + labels)
    table = {"file": "a.csv", "form": "csv", "id": "{file}", "label": "label", "label_separator": separator}
    config = BenchmarkConfig.model_validate(
        {
            "name": "sounds",
            "title": "Sounds",
            "home": "-",
            "licence": "-",
            "layout": "-",
            "source": {"kind": "table", "tables": [table], "media": {"audio": ["{file}"]}},
            "classes": classes or {},
            "tasks": [{"kind": "multi_label", "items": ["audio"]}],
        }
    )
    return BenchmarkSource(open_storage(str(folder)), config)


def classes_of(source: BenchmarkSource) -> list[list[str]]:
    return [item.record["classes"] for item in source.plan()]


def test_classes_are_those_that_occur_with_blanks_for_underscores(tmp_path: Path) -> None:
    source = source_of(tmp_path, "x.wav,hand_saw\ny.wav,dog\nz.wav,dog\n")
    assert classes_of(source) == [["hand saw"], ["dog"], ["dog"]]
    assert source.benchmark().class_names == ("dog", "hand saw")


def test_classes_are_called_what_the_file_says_and_the_rest_others(tmp_path: Path) -> None:
    source = source_of(tmp_path, "x.wav,bed\ny.wav,cafe\n", {"names": {"bed": "bedroom", "bath": "bathroom"}})
    assert classes_of(source) == [["bedroom"], ["cafe"]]
    source = source_of(tmp_path, "x.wav,bed\ny.wav,cafe\n", {"names": {"bed": "bedroom"}, "others": "other place"})
    assert classes_of(source) == [["bedroom"], ["other place"]]
    assert source.benchmark().class_names == ("bedroom", "other place")


def test_all_listed_classes_take_part_though_no_item_is_of_them(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text('index,mid,name\n0,/m/1,"Speech, male"\n1,/m/2,Dog\n2,/m/3,Cat\n')
    listed = {"file": "classes.csv", "key_column": "mid", "names": {"Dog": "barking dog"}}
    source = source_of(tmp_path, 'x.wav,"/m/2,/m/1"\n', listed, ",")
    assert classes_of(source) == [["barking dog", "Speech, male"]]
    assert source.benchmark().class_names == ("Speech, male", "barking dog", "Cat")
    with pytest.raises(ConfigError, match=r"'/m/9' is not among those of classes\.csv"):
        source_of(tmp_path, "x.wav,/m/9\n", listed, ",").plan()
    with pytest.raises(ConfigError, match="has no column label"):
        source_of(tmp_path, "x.wav,/m/1\n", {**listed, "name_column": "label"}).plan()


def test_a_packing_task_reads_an_item_without_the_annotations(tmp_path: Path) -> None:
    (tmp_path / "a b.wav").write_bytes(sound(1))
    source = source_of(tmp_path, "a b.wav,dog\n")
    (item,) = source.plan()
    (tmp_path / "a.csv").unlink()
    sample = copy.copy(source).load(item, "audio")
    assert sample.metadata.classes == ("dog",)
    assert sample.metadata.id == item.id
    assert sample.metadata.id.startswith("a_b_wav-")


@pytest.mark.parametrize("name", benchmark_names())
def test_files_of_the_paper_s_benchmarks_are_whole(name: str) -> None:
    config = read_benchmark(name)
    assert config.name == name
    assert set(config.modalities) <= set(modality_names())
    assert {reported.table for task in config.tasks for reported in task.reported} <= {2, 3, 4, 5, 6, 7, 11}


def test_every_table_of_the_paper_has_its_rows() -> None:
    """The number of LanguageBind's figures in each table, but for CLIP4Clip's in Table 3."""
    reported = [one for name in benchmark_names() for task in read_benchmark(name).tasks for one in task.reported]
    rows = {table: sum(one.table == table for one in reported) for table in (2, 3, 4, 5, 6, 7, 11)}
    assert rows == {2: 12, 3: 8, 4: 9, 5: 4, 6: 7, 7: 10, 11: 32}
