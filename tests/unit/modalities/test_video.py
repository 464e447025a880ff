"""Video: which frames are seen, from any container, the right way up."""

import struct

import numpy as np
import pytest
from pydantic import ValidationError

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.model.input_shape import InputShape
from tests.unit.modalities.samples import FRAGMENTED, grey_frames, m4a_bytes, tone, video_bytes

VIDEO = get_modality("video")
LEVELS = list(range(10, 250, 12))
"""Grey levels of 20 frames, far enough apart to tell them through the codec."""


def settings(**video: object) -> PreprocessConfig:
    return PreprocessConfig.model_validate({"mean": (0, 0, 0), "std": (1, 1, 1), "video": video})


def seen(media: bytes | np.ndarray, **video: object) -> list[int]:
    """Numbers of the frames of the 20 that the encoder is shown."""
    config = settings(**video)
    clip = VIDEO.transform(media, InputShape(16, 16), config)
    levels = clip.mean(axis=(0, 2, 3)) * 255
    return [int(np.abs(np.array(LEVELS) - level).argmin()) for level in levels]


@pytest.mark.parametrize(
    ("container", "options"), [("mp4", {}), ("mp4", {"movflags": FRAGMENTED}), ("matroska", {}), ("avi", {})]
)
@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_evenly_spaced_frames_whether_the_container_counts_them_or_not(
    container: str, options: dict[str, str], codec: str
) -> None:
    media = video_bytes(grey_frames(LEVELS), container, codec, **options)
    assert seen(media) == [0, 2, 5, 8, 10, 13, 16, 19]
    assert seen(media, num_frames=3) == [0, 9, 19]
    assert seen(media, num_frames=1) == [0]


def test_stretches_part_a_file_among_the_views() -> None:
    media = video_bytes(grey_frames(LEVELS))
    assert seen(media, num_frames=2, stretch=(0, 2)) == [0, 9]
    assert seen(media, num_frames=2, stretch=(1, 2)) == [10, 19]
    assert [seen(media, num_frames=2, stretch=(part, 3)) for part in range(3)] == [[0, 5], [6, 12], [13, 19]]
    short = video_bytes(grey_frames(LEVELS[:2]))
    assert [seen(short, num_frames=1, stretch=(part, 5))[0] for part in range(5)] == [0, 0, 0, 1, 1]
    with pytest.raises(ValidationError, match="stretch 2 of 2"):
        settings(stretch=(2, 2))


@pytest.mark.parametrize("tall", [False, True])
def test_crops_move_along_the_longer_edge_alone(tall: bool) -> None:
    frame = np.repeat(np.array([0, 100, 200], np.uint8), 16)[None, :, None].repeat(16, 0).repeat(3, 2)
    frames = np.stack([frame.transpose(1, 0, 2) if tall else frame] * 2)
    shown = {}
    for crop in ("start", "centre", "end"):
        config = settings(num_frames=1).model_copy(update={"crop": crop})
        shown[crop] = VIDEO.transform(frames, InputShape(16, 16), config)
    assert {crop: round(clip.mean() * 255) for crop, clip in shown.items()} == {"start": 0, "centre": 100, "end": 200}


def test_arrays_are_sampled_as_files_are() -> None:
    frames = np.stack(grey_frames(LEVELS))
    assert seen(frames) == [0, 2, 5, 8, 10, 13, 16, 19]
    assert seen(frames / 255) == [0, 2, 5, 8, 10, 13, 16, 19]


def test_a_clip_with_fewer_frames_shows_some_of_them_again() -> None:
    assert seen(video_bytes(grey_frames(LEVELS[:3]))) == [0, 0, 0, 0, 1, 1, 1, 2]


def test_flipped_as_a_whole_in_training_where_asked_for() -> None:
    left_dark = np.zeros((4, 16, 16, 3), np.uint8)
    left_dark[:, :, 8:] = 255
    shape = InputShape(16, 16)
    drawn = [VIDEO.transform(left_dark, shape, settings(flip=True), np.random.default_rng(i)) for i in range(20)]
    flipped = [clip[0, :, :, 0].mean() == 1 for clip in drawn]
    assert 0 < sum(flipped) < 20
    assert all(clip[0, :, :, 0].mean() in (0, 1) for clip in drawn), "all frames of a clip alike"
    for clip in (VIDEO.transform(left_dark, shape, settings(flip=True)), VIDEO.transform(left_dark, shape, settings())):
        assert clip[0, :, :, 0].mean() == 0


def test_turned_upright() -> None:
    """A camera held upright stores its pictures lying, with a matrix that turns them by 90 degrees clockwise."""
    top_bright = np.zeros((32, 48, 3), np.uint8)
    top_bright[:16] = 255
    media = video_bytes([top_bright] * 3)
    identity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    clockwise = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 32 << 16, 0, 0x40000000)
    track = media.index(b"tkhd")
    turned = media[:track] + media[track:].replace(identity, clockwise, 1)
    frame = VIDEO.decode(turned, settings())[0]
    assert frame.shape == (48, 32, 3)
    assert frame[:, 20:].mean() > 240 > 15 > frame[:, :12].mean(), "what was on top is now on the right"


def test_limits_and_what_is_no_video() -> None:
    media = video_bytes(grey_frames(LEVELS))
    with pytest.raises(DataError, match=r"more than preprocess.video.max_frames=19 frames"):
        seen(media, max_frames=19)
    with pytest.raises(DataError, match=r"48 x 32 pixels is more than preprocess.max_pixels=1535"):
        VIDEO.transform(media, InputShape(16, 16), PreprocessConfig(max_pixels=1_535))
    with pytest.raises(DataError, match="no video stream"):
        seen(m4a_bytes(tone(0.5)))
    with pytest.raises(DataError, match=r"not a mp4, mov, webm, mkv or avi file"):
        seen(b"#EXTM3U\n/etc/hostname\n")
    with pytest.raises(DataError, match=r"this has the shape \(32, 48, 3\)"):
        seen(np.zeros((32, 48, 3), np.uint8))
