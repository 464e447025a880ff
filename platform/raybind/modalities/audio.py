"""Audio: what is heard, as a log-mel spectrogram; mel bins are its rows, time its columns."""

import numpy as np
import torch

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Modality
from raybind.modalities.media.sound import read_sound
from raybind.modalities.media.spectrogram import crop_starts, num_spectrogram_frames, resampled, three_channels
from raybind.model.input_shape import InputShape


class Audio(Modality):
    """(channels, samples) or (samples,) in [-1, 1] at `preprocess.audio.sample_rate_hz` -> (3, mel bins, length).

    A longer sound is seen in three crops, front, middle and back, one in each channel; a shorter one is repeated, the
    same in all three (LanguageBind, Sec. 3.1).
    """

    name = "audio"
    file_types = ("wav", "flac", "ogg", "mp3")
    photo_words = "sound"

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`; resampled."""
        return resampled(*read_sound(media, config.audio.max_samples), config.audio).numpy()

    def prepare(
        self,
        content: np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """See `Modality.prepare`; the generator draws where the crops of a longer sound begin."""
        waveform = torch.from_numpy(_checked(np.atleast_2d(content)))
        num_frames = num_spectrogram_frames(waveform.shape[1], config.audio)
        longer = num_frames > config.audio.target_length
        starts = crop_starts(num_frames, config.audio, generator) if longer else None
        mel = three_channels(waveform, starts, config.audio)
        return ((mel - config.audio.mean) / (2 * config.audio.std)).contiguous().numpy()

    def input_shape(self, image_size: int, config: PreprocessConfig) -> InputShape:
        """Mel bins and length; the encoder refuses what is not a multiple of its patch."""
        return InputShape(config.audio.num_mel_bins, config.audio.target_length)


def _checked(waveform: np.ndarray) -> np.ndarray:
    if waveform.ndim != 2 or not np.issubdtype(waveform.dtype, np.floating):
        raise DataError(
            f"a sound has channels and samples in floating point; this has the shape {waveform.shape} and the type "
            f"{waveform.dtype}",
            cause="wrong shape",
        )
    if not np.isfinite(waveform).all():
        raise DataError("the sound holds values that are not finite", cause="value is not finite")
    return waveform.astype(np.float32, copy=False)


MODALITY = Audio()
