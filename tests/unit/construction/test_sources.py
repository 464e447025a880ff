"""Each source layout lists what is there, reads it as the shard format wants it, and names what cannot be packed."""

import json
from pathlib import Path

import pytest

from raybind.config.base import load_config
from raybind.config.pack import PackConfig
from raybind.construction.sources import JsonlSource, SeededSplit, SourceItem, VidalSource, open_source
from raybind.data.media_headers import check_media
from raybind.data.sample import Texts, UnpackableSample
from raybind.data.storage import open_storage
from raybind.errors import ConfigError

SPLIT = SeededSplit(seed=0, val_fraction=0.5)


def jsonl(folder: Path, *records: object) -> JsonlSource:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "annotations.jsonl").write_text("\n".join(lines))
    return JsonlSource(open_storage(str(folder)), "annotations.jsonl", SPLIT)


def vidal(root: Path, annotations: object) -> VidalSource:
    (root / "captions.json").write_text(json.dumps(annotations))
    return VidalSource(open_storage(str(root)), "captions.json", SPLIT)


def put(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def cause_of(source: JsonlSource | VidalSource, item: SourceItem, modality: str) -> tuple[str, str | None]:
    with pytest.raises(UnpackableSample) as caught:
        source.load(item, modality)
    return caught.value.cause, caught.value.file


def test_jsonl_texts_labels_and_media(tmp_path: Path, tiny_media) -> None:
    put(tmp_path, {"d/a.png": tiny_media.depth_png, "t/0.jpg": tiny_media.jpg, "t/1.JPEG": tiny_media.jpg})
    record = {
        "id": "a",
        "depth": "d/a.png",
        "thermal": ["t/0.jpg", "t/1.JPEG"],
        "captions": ["one", "two"],
        "label": "living_room",
        "scene": "a home",
        "fold": 3,
        "split": "test",
        "license": "MIT",
        "source": "made here",
    }
    source = jsonl(tmp_path, record)
    (item,) = source.plan()
    assert (item.id, item.split, item.modalities, item.problem) == ("a", "test", ("depth", "infrared"), None)
    sample = source.load(item, "infrared")
    assert sample.metadata.texts == Texts(captions=("one", "two"))
    assert sample.metadata.labels == {"label": "living room", "scene": "a home"}
    assert (sample.metadata.license, sample.metadata.source) == ("MIT", "made here")
    assert [file.suffix for file in sample.media["infrared"]] == ["0.jpg", "1.jpg"]
    assert source.load(item, "depth").media["depth"][0].data == tiny_media.depth_png


def test_jsonl_lines_that_cannot_be_packed_have_a_problem(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path,
        {"id": "a", "image": "x.jpg"},
        "{broken",
        "",
        {"image": "x.jpg"},
        {"id": "a.b/c", "image": "x.jpg"},
        {"id": "a", "image": "y.jpg"},
        {"id": "b", "image": "y.jpg", "split": "../train"},
    )
    assert [(item.id, item.problem) for item in source.plan()] == [
        ("a", None),
        ("annotations.jsonl:2", "annotation line is not JSON"),
        ("annotations.jsonl:4", "annotation line has no id"),
        ("a.b/c", "id has characters other than letters, digits, - and _"),
        ("a", "id was used by an earlier sample"),
        ("b", "split has characters other than letters, digits and _"),
    ]


def test_jsonl_media_that_cannot_be_packed_have_a_cause(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path,
        {"id": "missing", "image": "no.jpg"},
        {"id": "folder", "image": "sub.jpg"},
        {"id": "type", "audio": "x.m4a"},
        {"id": "many", "depth": ["x.png"] * 9},
        {"id": "shape", "image": {"path": "x.jpg"}},
        {"id": "text", "image": "x.jpg", "captions": [1]},
    )
    (tmp_path / "sub.jpg").mkdir()
    missing, folder, kind, many, shape, text = source.plan()
    assert cause_of(source, missing, "image") == ("file is missing", "no.jpg")
    assert cause_of(source, folder, "image") == ("file is missing", "sub.jpg")
    assert cause_of(source, kind, "audio") == ("audio of type m4a; convert to wav or flac or ogg or mp3", "x.m4a")
    assert cause_of(source, many, "depth")[0] == "9 key frames of depth; at most 8 can be stored"
    assert cause_of(source, shape, "image")[0] == "annotation does not fit: image is not a path"
    assert cause_of(source, text, "image")[0].startswith("annotation does not fit: texts.captions.0")


def test_vidal_texts_media_and_split(tmp_path: Path, tiny_media) -> None:
    entry = {"folder": "f", "raw": "t #h", "ofa": ["k0", "k1"], "mplug": "v", "polish_mplug": "e", "sound_mplug": "s"}
    put(
        tmp_path,
        {
            "f/-x_1.mp4": tiny_media.mp4,
            "f/-x_1_depth_f8glpn_folder/0.png": tiny_media.depth_png,
            "f/-x_1_depth_f8glpn_folder/7.png": tiny_media.depth_png,
            "f/-x_1_thermal_folder/3.jpg": tiny_media.jpg,
            "f/-x_1.wav": tiny_media.wav,
            "f_ffmpeg_mp3/-x_1.mp3": tiny_media.mp3,
        },
    )
    source = vidal(tmp_path, {"-x_1": entry, "bare": {"folder": "f"}})
    item, bare = source.plan()
    assert item.modalities == ("audio", "depth", "infrared", "video")
    assert bare.modalities == ()
    sample = source.load(item, "depth")
    assert sample.metadata.texts == Texts(raw="t #h", keyframes=("k0", "k1"), video="v", enhanced="e", sound="s")
    suffixes = {name: [file.suffix for file in source.load(item, name).media[name]] for name in item.modalities}
    assert suffixes == {"audio": ["mp3"], "depth": ["0.png", "7.png"], "infrared": ["3.jpg"], "video": ["mp4"]}
    for modality in item.modalities:
        check_media(modality, source.load(item, modality).media[modality])


def test_vidal_falls_back_to_resized_video_and_audio_beside_it(tmp_path: Path, tiny_media) -> None:
    put(tmp_path, {"f_resize256_skip15/a.mp4": tiny_media.mp4, "f/a.wav": tiny_media.wav, "f/b.m4a": tiny_media.m4a})
    source = vidal(tmp_path, {"a": {"folder": "f"}, "b": {"folder": "f"}})
    a, b = source.plan()
    assert a.modalities == ("audio", "video")
    assert source.load(a, "video").media["video"][0].data == tiny_media.mp4
    assert source.load(a, "audio").media["audio"][0].suffix == "wav"
    assert cause_of(source, b, "audio") == ("audio of type m4a; convert to wav or flac or ogg or mp3", "f/b.m4a")


def test_vidal_entries_that_cannot_be_packed_are_named(tmp_path: Path) -> None:
    (tmp_path / "f/empty_thermal_folder").mkdir(parents=True)
    (tmp_path / "f/nine_thermal_folder").mkdir()
    source = vidal(
        tmp_path,
        {"nofolder": {}, "a b": {"folder": "f"}, "empty": {"folder": "f"}, "nine": {"folder": "f", "ofa": ["k"] * 9}},
    )
    nofolder, spaced, empty, nine = source.plan()
    assert nofolder.problem == "annotation has no folder"
    assert spaced.problem == "id has characters other than letters, digits, - and _"
    assert cause_of(source, empty, "infrared")[0] == "no key frame 0.jpg to 7.jpg in the folder"
    assert cause_of(source, nine, "infrared")[0] == "more than 8 key-frame captions (ofa)"


def test_the_drawn_split_keeps_its_share_and_depends_on_seed_and_id_alone() -> None:
    splits = [SeededSplit(seed=3, val_fraction=0.2).of(f"id{i}") for i in range(2000)]
    assert 0.17 < splits.count("val") / 2000 < 0.23
    assert splits == [SeededSplit(seed=3, val_fraction=0.2).of(f"id{i}") for i in range(2000)]
    assert splits != [SeededSplit(seed=4, val_fraction=0.2).of(f"id{i}") for i in range(2000)]
    assert SeededSplit(seed=3, val_fraction=0).of("id0") == "train"


@pytest.mark.parametrize("kind", ["jsonl", "vidal"])
def test_a_missing_folder_or_annotation_file_is_a_configuration_error(kind: str, tmp_path: Path) -> None:
    overrides = [f"source.kind={kind}", "source.annotations=list.json", "output=out"]
    missing = load_config(PackConfig, overrides=[*overrides, f"source.location={tmp_path}/no"])
    with pytest.raises(ConfigError, match="there is no folder"):
        open_source(missing).plan()
    empty = load_config(PackConfig, overrides=[*overrides, f"source.location={tmp_path}"])
    with pytest.raises(ConfigError, match=r"has no list\.json"):
        open_source(empty).plan()


def test_vidal_annotations_must_be_a_json_object(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a JSON object"):
        vidal(tmp_path, ["a"]).plan()
    (tmp_path / "captions.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        VidalSource(open_storage(str(tmp_path)), "captions.json", SPLIT).plan()


def test_tiny_vidal_lists_what_it_renders() -> None:
    overrides = ["source.kind=tiny_vidal", "output=out", "modalities=[depth,image]", "tiny_vidal.num_train=3"]
    source = open_source(load_config(PackConfig, overrides=[*overrides, "tiny_vidal.image_size_px=32"]))
    items = source.plan()
    assert [item.split for item in items][:4] == ["train", "train", "train", "val"]
    sample = source.load(items[2], "depth")
    assert (sample.metadata.id, sample.split) == (items[2].id, "train")
    assert sample.media.keys() == {"depth", "image"}
    check_media("depth", sample.media["depth"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.kind=jsonl"], "needs source.location"),
        (["source.kind=vidal", "source.location=x"], "needs source.annotations"),
        (["source.kind=tiny_vidal", "source.location=x"], "leave source.location"),
        (["source.kind=tiny_vidal", "modalities=[depth,depth]"], "named twice"),
    ],
)
def test_a_source_that_does_not_fit_its_kind_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(PackConfig, overrides=[*overrides, "output=out"])
