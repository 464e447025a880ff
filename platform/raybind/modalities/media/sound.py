"""Samples of a sound file, bounded in number."""

import io
from collections.abc import Callable, Iterator

import av
import numpy as np
import soundfile
from av.error import FFmpegError

from raybind.errors import DataError
from raybind.modalities.media.clips import UNDECODABLE, container_format
from raybind.modalities.media.whole import CUT_SHORT, check_whole

NO_SOUND = "no sound"
"""Cause of a file's being refused that has no sound track, or an empty one."""

_SOUNDFILE_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
_BLOCK_SAMPLES = 2**20


def read_sound(media: bytes, max_samples: int) -> tuple[np.ndarray, int]:
    """Decode a wav, flac, ogg, mp3 or m4a file.

    A mp3 file without a Xing header does not say how long it is, so one that was cut short is read as far as it goes.

    Returns: (channels, samples) float32 in [-1, 1], and the sample rate in Hz.
    Raises: DataError: the file is no sound, damaged, longer than the limit, or has values that are not finite.
    """
    check_whole(media)
    return _checked(_read_container if media[4:8] == b"ftyp" else _read_soundfile, media, max_samples)


def read_sound_track(media: bytes, max_samples: int) -> tuple[np.ndarray, int]:
    """Decode the first sound track of a mp4, mov, webm, mkv or avi file.

    Returns: as `read_sound`.
    Raises: DataError: as `read_sound`; its cause is `NO_SOUND` where there is none.
    """
    check_whole(media)
    return _checked(_read_container, media, max_samples)


def _checked(
    read: Callable[[bytes, int], tuple[np.ndarray, int]], media: bytes, max_samples: int
) -> tuple[np.ndarray, int]:
    try:
        waveform, rate = read(media, max_samples)
    except (soundfile.SoundFileError, FFmpegError, MemoryError) as error:
        raise DataError(f"not a readable sound file: {error}", cause=UNDECODABLE) from None
    if not np.isfinite(waveform).all():
        raise DataError("the sound holds values that are not finite", cause="value is not finite")
    return waveform, rate


def _read_soundfile(media: bytes, max_samples: int) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(io.BytesIO(media)) as file:
        if file.format not in _SOUNDFILE_FORMATS:
            raise DataError(f"sound of format {file.format}; read are wav, flac, ogg, mp3, m4a", cause=UNDECODABLE)
        waveform = _joined(_blocks(file), max_samples)
        if waveform.shape[1] < file.frames:
            raise DataError(f"the file holds {waveform.shape[1]} of the {file.frames} samples it announces", CUT_SHORT)
        return waveform, file.samplerate


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    # A header may announce any length, so memory is taken for what is there.
    while len(block := file.read(max(1, _BLOCK_SAMPLES // file.channels), dtype="float32", always_2d=True)):
        yield block.T


def _read_container(media: bytes, max_samples: int) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(media), "r", format=container_format(media)) as container:
        if not container.streams.audio or container.streams.audio[0].codec_context is None:
            raise DataError("the file has no sound that can be decoded", cause=NO_SOUND)
        stream = container.streams.audio[0]
        to_float = av.AudioResampler(format="fltp")
        blocks = (block.to_ndarray() for frame in container.decode(stream) for block in to_float.resample(frame))
        return _joined(blocks, max_samples), stream.rate


def _joined(blocks: Iterator[np.ndarray], max_samples: int) -> np.ndarray:
    """(channels, samples) of all blocks. Raises: DataError: none, more than the limit, or channels that change."""
    kept: list[np.ndarray] = []
    num_samples = 0
    for block in blocks:
        num_samples += block.size
        if num_samples > max_samples:
            raise DataError(
                f"the sound has more than preprocess.audio.max_samples={max_samples} samples in all channels",
                cause="sound too long",
            )
        kept.append(block)
    if num_samples == 0:
        raise DataError("the file holds no sound", cause=NO_SOUND)
    if len({len(block) for block in kept}) > 1:
        raise DataError("the number of channels changes within the file", cause=UNDECODABLE)
    return np.concatenate(kept, axis=1)
