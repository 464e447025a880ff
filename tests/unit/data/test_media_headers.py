"""A file that is not what its name says, or what its modality needs, is refused with a cause one can act on."""

import pytest

from raybind.data.media_headers import check_media
from raybind.data.sample import MediaFile, UnpackableSample
from tests.miniatures.base import video

GOOD = [
    ("video", "mp4", "mp4"),
    ("image", "jpg", "jpg"),
    ("image", "png", "rgb_png"),
    ("depth", "0.png", "depth_png"),
    ("infrared", "7.jpg", "jpg"),
    ("audio", "wav", "wav"),
    ("audio", "mp3", "mp3"),
]
BAD = [
    ("video", "mp4", "html", "not a mp4 file"),
    ("image", "jpg", "rgb_png", "not a jpg file but png"),
    ("image", "gif", "jpg", "image of type gif; stored are jpg, png"),
    ("depth", "0.png", "grey8_png", "depth needs a 16-bit greyscale png, this is 8-bit greyscale"),
    ("depth", "0.png", "rgb_png", "depth needs a 16-bit greyscale png, this is 8-bit RGB"),
    ("depth", "png", "depth_png", "depth file named otherwise than the shard format has it"),
    ("depth", "8.png", "depth_png", "depth file named otherwise than the shard format has it"),
    ("infrared", "0.gif", "rgb_png", "infrared of type gif; stored are jpg, png, tif"),
    ("audio", "mp3", "m4a", "not a mp3 file but m4a"),
    ("audio", "flac", "wav", "not a flac file but wav"),
]


@pytest.mark.parametrize(("modality", "suffix", "name"), GOOD)
def test_right_files_pass(modality: str, suffix: str, name: str, tiny_media) -> None:
    check_media(modality, (MediaFile(suffix, getattr(tiny_media, name)),))


@pytest.mark.parametrize(
    ("container", "suffix"), [("mov", "mp4"), ("webm", "webm"), ("matroska", "mkv"), ("avi", "avi")]
)
def test_videos_are_told_by_their_containers(container: str, suffix: str) -> None:
    data = video(1, container)
    check_media("video", (MediaFile(suffix, data),))
    for other in {"mp4", "webm", "mkv", "avi"} - {suffix}:
        with pytest.raises(UnpackableSample, match=f"not a {other} file but {suffix}"):
            check_media("video", (MediaFile(other, data),))


@pytest.mark.parametrize(("modality", "suffix", "name", "cause"), BAD)
def test_wrong_files_are_named_with_their_cause(modality: str, suffix: str, name: str, cause: str, tiny_media) -> None:
    with pytest.raises(UnpackableSample) as caught:
        check_media(modality, (MediaFile(suffix, getattr(tiny_media, name)),))
    assert (caught.value.cause, caught.value.file) == (cause, suffix)


@pytest.mark.parametrize(
    ("header", "suffix"), [(b"fLaC....", "flac"), (b"OggS....", "ogg"), (b"\xff\xfb\x90\x00", "mp3")]
)
def test_other_sound_headers_pass(header: bytes, suffix: str) -> None:
    check_media("audio", (MediaFile(suffix, header),))


def test_an_aac_stream_is_no_mp3() -> None:
    with pytest.raises(UnpackableSample, match="not a mp3 file"):
        check_media("audio", (MediaFile("mp3", b"\xff\xf1\x50\x80"),))


def test_empty_missing_and_double_files_are_refused(tiny_media) -> None:
    with pytest.raises(UnpackableSample, match="file is empty"):
        check_media("image", (MediaFile("jpg", b""),))
    with pytest.raises(UnpackableSample, match="no image file"):
        check_media("image", ())
    with pytest.raises(UnpackableSample, match="more than one file"):
        check_media("image", (MediaFile("jpg", tiny_media.jpg), MediaFile("png", tiny_media.rgb_png)))
