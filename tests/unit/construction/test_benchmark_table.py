"""Annotations of rows: what is read as an item, with which texts, classes and files, and what is refused."""

from pathlib import Path

import pytest
import soundfile

from raybind.config.benchmark_source import TableFormat
from raybind.construction.benchmarks.source import sample_id
from raybind.construction.benchmarks.table import TableReader
from raybind.data.sample import UnpackableSample
from raybind.data.storage import open_storage
from raybind.errors import ConfigError
from tests.miniatures.base import picture, sound, video


def reader(folder: Path, *tables: dict, media: dict | None = None, paragraph: bool = False) -> TableReader:
    values = {"kind": "table", "tables": tables, "media": media or {"video": ["{id}.mp4"]}, "paragraph": paragraph}
    return TableReader(open_storage(str(folder)), TableFormat.model_validate(values))


CSV = {"file": "a.csv", "form": "csv", "id": "{id}"}


def test_rows_of_one_item_are_gathered_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\nb,"one, two"\na,three\nb," four\nfive"\n')
    items = list(reader(tmp_path, {**CSV, "captions": ["text"]}).items())
    assert [(item.key, item.captions) for item in items] == [("b", ("one, two", "four five")), ("a", ("three",))]


def test_paragraph_joins_the_texts_of_an_item(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"v_1": {"sentences": [" First.", "Then."]}, "v_2": {"sentences": ["Only."]}}')
    table = {"file": "a.json", "form": "json", "id": "{key}", "captions": ["sentences"]}
    items = list(reader(tmp_path, table, paragraph=True, media={"video": ["{key}.*"]}).items())
    assert [item.captions for item in items] == [("First. Then.",), ("Only.",)]


def test_further_tables_add_to_the_items_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x\n")
    (tmp_path / "all.txt").write_text("x A first text.\ny Of another.\n\nx  A second  text.\n")
    words = {"form": "words", "id": "{id}"}
    listed = {**words, "file": "list.txt", "columns": ["id"]}
    texts = {**words, "file": "all.txt", "columns": ["id", "text"], "captions": ["text"]}
    (item,) = reader(tmp_path, listed, texts).items()
    assert item.captions == ("A first text.", "A second text.")


def test_rows_are_chosen_and_classes_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('# a comment\n# another\nx, test, "m1,m2"\ny, train, m3\n')
    table = {**CSV, "comment": "#", "columns": ["id", "split", "labels"], "where": {"split": "test"}}
    (item,) = reader(tmp_path, {**table, "label": "labels", "label_separator": ","}).items()
    assert (item.key, item.classes) == ("x", ("m1", "m2"))


def test_first_place_that_holds_a_readable_file_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,start\nx,5\ny,12\nz,7\n")
    for name in ("flat/x_000005.txt", "flat/x_000005.webm", "nested/y.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    places = {"video": ["flat/{id}_{start:0>6}.*", "nested/{id}.*"]}
    found = [item.record["video"] for item in reader(tmp_path, CSV, media=places).items()]
    assert found == ["flat/x_000005.webm", "nested/y.mkv", "flat/z_000007.*"]


def test_json_line_without_a_modality_is_an_item_without_it(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "x", "audio": "x.wav", "image": "x.jpg"}\n{"id": "y", "image": "y.jpg"}\n'
    )
    table = {"file": "a.jsonl", "form": "jsonl", "id": "{id}"}
    items = reader(tmp_path, table, media={"image": ["{image}"], "audio": ["{audio}"]}).items()
    assert [item.modalities for item in items] == [("image", "audio"), ("image",)]


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm", "avi"])
def test_sound_of_a_video_is_stored_as_a_sound_file(tmp_path: Path, container: str) -> None:
    suffix = {"matroska": "mkv"}.get(container, container)
    (tmp_path / f"x.{suffix}").write_bytes(video(1, container, with_sound=True))
    (tmp_path / "a.csv").write_text("id\nx\n")
    reading = reader(tmp_path, CSV, media={"audio": ["{id}.*"], "video": ["{id}.*"]})
    (item,) = reading.items()
    (media,) = reading.load(item.record, "audio")
    (tmp_path / "out.flac").write_bytes(media.data)
    waveform, rate = soundfile.read(tmp_path / "out.flac")
    assert media.suffix == "flac"
    assert len(waveform) / rate == pytest.approx(1.0, abs=0.1)
    assert abs(waveform).max() == pytest.approx(0.3, abs=0.1)
    (seen,) = reading.load(item.record, "video")
    assert seen.suffix == {"mov": "mp4"}.get(suffix, suffix)


def test_video_without_sound_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(video(1))
    (tmp_path / "a.csv").write_text("id\nx\n")
    reading = reader(tmp_path, CSV, media={"audio": ["{id}.*"]})
    (item,) = reading.items()
    with pytest.raises(UnpackableSample, match=r"no sound \(x.mp4\)"):
        reading.load(item.record, "audio")


def test_files_of_other_modalities_are_stored_as_the_shards_have_them(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture(1, ".png", bits=16))
    (tmp_path / "x.WAV").write_bytes(sound(1))
    (tmp_path / "a.csv").write_text("id\nx\n")
    reading = reader(tmp_path, CSV, media={"depth": ["{id}.png"], "audio": ["{id}.*"]})
    (item,) = reading.items()
    assert [reading.load(item.record, name)[0].suffix for name in ("depth", "audio")] == ["0.png", "wav"]


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        (None, CSV, "has no a.csv"),
        ("id,text\nx\n", CSV, "1 values for the columns id, text"),
        ("id\nx\n", {**CSV, "captions": ["text"]}, "no column 'text'; there are id"),
        ("id\nx\n", {**CSV, "id": "{name}"}, "names the column 'name'"),
        ("id\n\xff\n", CSV, "not UTF-8"),
        ("{", {**CSV, "form": "json"}, "not JSON"),
        ("[1]", {**CSV, "form": "json"}, "must be a JSON object"),
    ],
)
def test_annotations_that_do_not_fit_are_named(tmp_path: Path, text: str | None, table: dict, message: str) -> None:
    if text is not None:
        (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        list(reader(tmp_path, table).items())


def test_place_with_a_column_that_no_row_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\nx\n")
    with pytest.raises(ConfigError, match="names the column 'name'; there are id"):
        list(reader(tmp_path, CSV, media={"video": ["{name}.mp4"]}).items())


def test_ids_stay_distinct_where_characters_are_replaced() -> None:
    assert sample_id("-abc_1") == "-abc_1"
    assert sample_id("a b.wav") != sample_id("a_b.wav") != sample_id("a b_wav")
