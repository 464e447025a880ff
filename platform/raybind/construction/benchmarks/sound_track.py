"""The sound of a video file, as a file of its own."""

import io

import soundfile

from raybind.config.data import AudioConfig
from raybind.data.sample import UnpackableSample
from raybind.errors import DataError
from raybind.modalities.media.sound import read_sound_track


def sound_track(media: bytes, name: str) -> bytes:
    """Decode the first sound track of a video file and store it without loss beyond 16 bits.

    Returns: a flac file.
    Raises: UnpackableSample: there is none, or it cannot be decoded.
    """
    try:
        waveform, rate = read_sound_track(media, AudioConfig().max_samples)
    except DataError as error:
        raise UnpackableSample(error.cause, name) from None
    file = io.BytesIO()
    soundfile.write(file, waveform.T, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
