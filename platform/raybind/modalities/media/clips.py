"""Frames of a video, decoded in memory on one thread; no more than one decoded frame is held here."""

import io
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.media.whole import check_whole

UNDECODABLE = "undecodable media"


def frame_numbers(num_frames_there: int, num_frames: int, stretch: tuple[int, int] = (0, 1)) -> np.ndarray:
    """(num_frames,) int64: evenly spaced from the first to the last of a stretch, rounded down (official code).

    Args:
        stretch: which of how many equal stretches, from 0.
    """
    number, parts = stretch
    first = num_frames_there * number // parts
    last = max(first, num_frames_there * (number + 1) // parts - 1)
    return np.linspace(first, last, num_frames, dtype=int)


def read_frames(media: bytes, config: PreprocessConfig) -> Iterator[np.ndarray]:
    """Decode a mp4, mov, webm, mkv or avi file.

    Frames are counted by walking through the file once without decoding, because a container's own count may be
    missing. The file is then decoded from its start: seeking saves little in short clips and misses frames in some.

    Yields: `config.video.num_frames` frames, (H, W, 3) uint8 RGB, upright.
    Raises: DataError: the file is no video, damaged, or larger than the configured limits.
    """
    check_whole(media)
    try:
        numbers = frame_numbers(_count_frames(media, config), config.video.num_frames, config.video.stretch).tolist()
        yield from _decode(media, numbers, config)
    except (FFmpegError, MemoryError) as error:
        raise DataError(f"not a readable video: {error}", cause=UNDECODABLE) from None


def container_format(media: bytes) -> str:
    """FFmpeg's name of the container, by its first bytes. Raises: DataError: none that is read here.

    FFmpeg does not guess it: some formats that it knows open other files and addresses.
    """
    if media[4:8] == b"ftyp":
        return "mp4"
    if media.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if media.startswith(b"RIFF") and media[8:12] == b"AVI ":
        return "avi"
    raise DataError("not a mp4, mov, webm, mkv or avi file", cause=UNDECODABLE)


def _count_frames(media: bytes, config: PreprocessConfig) -> int:
    count = 0
    with av.open(io.BytesIO(media), "r", format=container_format(media)) as container:
        for packet in container.demux(_video_stream(container, config)):
            count += packet.size > 0 and not packet.is_discard
            if packet.is_corrupt:
                raise DataError("the video holds a damaged frame", cause=UNDECODABLE)
            if count > config.video.max_frames:
                raise DataError(
                    f"the video has more than preprocess.video.max_frames={config.video.max_frames} frames",
                    cause="too many frames",
                )
    if count == 0:
        raise DataError("the video has no frames", cause="no frames")
    return count


def _decode(media: bytes, numbers: list[int], config: PreprocessConfig) -> Iterator[np.ndarray]:
    decoded = -1
    with av.open(io.BytesIO(media), "r", format=container_format(media)) as container:
        for decoded, frame in enumerate(container.decode(_video_stream(container, config))):
            _check_size(frame.width, frame.height, config)
            if decoded in numbers:
                # By itself the colour conversion starts a thread on every CPU for every frame.
                pixels = np.rot90(frame.to_ndarray(format="rgb24", threads=1), frame.rotation // 90)
                # A clip with fewer frames than are looked at shows some of them several times.
                yield from [pixels] * numbers.count(decoded)
    if decoded < numbers[-1]:
        raise DataError(
            f"only {decoded + 1} of the video's {numbers[-1] + 1} frames can be decoded", cause="undecodable frames"
        )


def _video_stream(container: InputContainer, config: PreprocessConfig) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise DataError("the file has no video stream", cause="no video stream")
    codec = streams[0].codec_context
    if codec is None:
        raise DataError("the video is in a codec that is not known", cause=UNDECODABLE)
    _check_size(codec.width, codec.height, config)
    codec.thread_count = 1
    # What the stream says of its own frames may differ from the container's word, and memory goes by the former.
    codec.options = {"max_pixels": str(config.max_pixels)}
    return streams[0]


def _check_size(width: int, height: int, config: PreprocessConfig) -> None:
    if width * height > config.max_pixels:
        raise DataError(
            f"a frame of {width} x {height} pixels is more than preprocess.max_pixels={config.max_pixels}",
            cause="too many pixels",
        )
