"""Reading for training and for evaluation, on real bytes in real shards; bad samples injected."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raybind.config.data import DataConfig
from raybind.data.faults import MIN_SAMPLES, BadSample, FaultCounts, read_skip_list, to_jsonl, together
from raybind.data.manifest import read_split, shard_name
from raybind.data.reader import SampleReader, bad_samples
from raybind.data.sample import MediaFile, SampleMetadata, Texts
from raybind.data.storage import open_storage
from raybind.data.texts import view_of
from raybind.data.writer import ShardWriter, write_manifest
from raybind.errors import ConfigError, DataError, TooManyBadSamples
from raybind.model.input_shape import InputShape

NUM_SAMPLES = 6


def depth_png(millimetres: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((20, 30), millimetres, dtype=np.uint16)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = open_storage(str(tmp_path)).below("depth")
    writer = ShardWriter(folder, "depth", shard_name("train", 0))
    for number in range(NUM_SAMPLES):
        texts = Texts(keyframes=tuple(f"sample {number} frame {i}" for i in range(8)), captions=("one", "two"))
        media = [MediaFile(f"{i}.png", depth_png(1000 * (i + 1))) for i in range(8)]
        if number == 2:  # a png header that passes packing, and nothing behind it
            media = [MediaFile(f"{i}.png", depth_png(1000)[:60]) for i in range(8)]
        writer.add(SampleMetadata(id=f"s{number}", texts=texts if number != 4 else Texts(raw="only a title")), media)
    write_manifest(folder, "depth", {"train": [writer.close()]})
    return tmp_path


def make_reader(root: Path, **changes: object) -> SampleReader:
    config = DataConfig.model_validate({"root": str(root), "modality": "depth", "text_source": "keyframe", **changes})
    return SampleReader(read_split(open_storage(str(root)), "depth", "train"), config, shape=InputShape(14, 14), seed=0)


def test_depth_in_metres_over_ten_and_caption_of_the_same_key_frame(root: Path) -> None:
    reader = make_reader(root)
    seen = set()
    for epoch in range(20):
        sample = reader.read(0, epoch)
        frame = int(sample.texts[sample.text][-1])
        depth = sample.pixel_values[0] * reader.config.preprocess.std[0] + reader.config.preprocess.mean[0]
        np.testing.assert_allclose(depth, (frame + 1) / 10, atol=1e-6)
        seen.add(frame)
    assert len(seen) > 4, "training draws key frames"
    assert reader.read(0, None).texts == ("sample 0 frame 4",), "evaluation takes the middle one"


def test_captions_of_equal_standing_are_drawn_and_all_right(root: Path) -> None:
    reader = make_reader(root, text_source="caption")
    assert {reader.read(0, epoch).text for epoch in range(20)} == {0, 1}
    assert reader.read(0, None).texts == ("one", "two")


def test_mix_draws_every_view_a_sample_has(root: Path) -> None:
    texts = Texts(raw="A Ball #shorts #ball", keyframes=("still 0", "still 1"), video="it rolls", sound="a thud")
    views = {view_of(texts, "mix", np.random.default_rng(seed)) for seed in range(60)}
    assert views == {"raw", "keyframe", "video", "sound"}, "there is no enhanced text"
    assert view_of(texts, "mix", None) == "video", "evaluation draws nothing"
    assert view_of(texts, "raw", np.random.default_rng(0)) == "raw"
    with pytest.raises(DataError, match="no text of any view"):
        view_of(Texts(captions=("one",)), "mix", None)
    sample = make_reader(root, text_source="mix").read(4, epoch=0)
    assert sample.texts == ("only a title, ",), "the only view of this sample"


def test_bad_samples_stay_in_place_with_their_cause(root: Path) -> None:
    arrays = make_reader(root).read_batch(range(NUM_SAMPLES), epoch=0)
    assert arrays["fault"].tolist() == ["", "", "undecodable media", "", "missing text", ""]
    assert arrays["number"].tolist() == list(range(NUM_SAMPLES))
    assert "sample s2" in arrays["fault_detail"][2]
    assert not arrays["prepared"][[2, 4]].any()


def test_damaged_bytes_are_found(root: Path) -> None:
    reader = make_reader(root)
    shard = root / "depth" / "train-000000.tar"
    damaged = bytearray(shard.read_bytes())
    damaged[int(reader.index.offset[1]) + 600] ^= 1
    shard.write_bytes(damaged)
    faults = reader.read_batch(range(NUM_SAMPLES), epoch=0)["fault"].tolist()
    assert faults == ["", "checksum differs", "undecodable media", "", "missing text", ""]


def test_a_micro_batch_does_not_depend_on_its_company(root: Path) -> None:
    reader = make_reader(root)
    together = reader.read_batch([0, 1, 3, 5], epoch=2)
    alone = reader.read_batch([5], epoch=2)
    assert together["text"][3] == alone["text"][0]
    np.testing.assert_array_equal(together["prepared"][3], alone["prepared"][0])


def test_evaluation_never_skips(root: Path) -> None:
    with pytest.raises(DataError, match=r"sample s2.*not a readable PNG"):
        make_reader(root).read_many([0, 1, 2])


def bad(cause: str, detail: str) -> BadSample:
    return BadSample("a.tar", "x", cause, detail)


def test_what_cannot_be_read_is_listed_and_can_be_skipped(root: Path) -> None:
    reader = make_reader(root)
    counts = FaultCounts()
    for epoch in range(2):
        counts.add(NUM_SAMPLES, bad_samples(reader.read_batch(range(NUM_SAMPLES), epoch)))
    assert [(sample.id, sample.shard, sample.cause) for sample in counts.quarantine.values()] == [
        ("s2", "train-000000.tar", "undecodable media"),
        ("s4", "train-000000.tar", "missing text"),
    ]
    skipped = read_skip_list(to_jsonl(counts.quarantine.values()), "quarantine.jsonl")
    index = reader.index.without(skipped)
    assert index.ids.tolist() == ["s0", "s1", "s3", "s5"]
    assert index.shard_sizes == (4,)
    assert index.digest != reader.index.digest == reader.index.without({"not there"}).digest
    left = SampleReader(index, reader.config, reader.shape, reader.seed).read_batch(range(4), epoch=0)
    assert not left["fault"].astype(bool).any()
    with pytest.raises(ConfigError, match=r"data.skip_list='list.txt': each line must be JSON with an `id`"):
        read_skip_list("s2", "list.txt")


def test_training_stops_above_the_stated_rate() -> None:
    one, other = FaultCounts(), FaultCounts()
    allowed = int(0.01 * MIN_SAMPLES)
    one.add(allowed, [bad("undecodable media", "a.tar: sample x: not a png")] * allowed)
    together([one, other]).check(max_rate=0.01)
    other.add(1, [bad("missing text", "a.tar: sample y: no raw text")])
    with pytest.raises(TooManyBadSamples, match=r"11 of 11 .*=0.01.* 10 x undecodable media, e.g. a.tar: sample x"):
        together([one, other]).check(max_rate=0.01)


def test_the_rate_is_of_all_samples_seen() -> None:
    counts = FaultCounts()
    counts.add(5000, [])
    counts.add(50, [bad("missing text", "")] * 50)
    counts.check(max_rate=0.01)
    assert counts.causes == {"missing text": 50}
