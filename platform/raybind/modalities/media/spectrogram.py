"""Log-mel spectrograms as Kaldi computes them, brought to one length in three channels.

Legend: S spectrogram frames, L target length, M mel bins.
"""

import numpy as np
import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from raybind.config.data import AudioConfig
from raybind.errors import DataError

_WINDOW_MS = 25
_SHIFT_MS = 10
_RATE_STEP_HZ = 25
"""Sample rates are taken as multiples of this, wrong by 0.2 % at most and exact for all that are in use: the kernel of
an odd rate would take gigabytes."""
_RATES_HZ = (4_000, 384_000)

Starts = tuple[int, int, int]


def resampled(waveform: np.ndarray, rate_hz: int, config: AudioConfig) -> Tensor:
    """(channels, samples) float32 at the configured rate (torchaudio's windowed sinc, as the official code).

    Raises: DataError: a sample rate that no sound has.
    """
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        raise DataError(
            f"a sample rate of {rate_hz} Hz is not between {_RATES_HZ[0]} and {_RATES_HZ[1]} Hz", cause="sample rate"
        )
    rate_hz = round(rate_hz / _RATE_STEP_HZ) * _RATE_STEP_HZ
    return resample(torch.from_numpy(waveform), rate_hz, config.sample_rate_hz)


def num_spectrogram_frames(num_samples: int, config: AudioConfig) -> int:
    """S: whole windows of 25 ms, one every 10 ms. Raises: DataError: not even one."""
    window, shift = (config.sample_rate_hz * length // 1000 for length in (_WINDOW_MS, _SHIFT_MS))
    if num_samples < window:
        raise DataError(
            f"{num_samples} samples at {config.sample_rate_hz} Hz are less than one window of {_WINDOW_MS} ms",
            cause="sound too short",
        )
    return 1 + (num_samples - window) // shift


def crop_starts(num_frames: int, config: AudioConfig, generator: np.random.Generator | None) -> Starts:
    """Where the front, middle and back crop of a longer spectrogram begin: one start in each third of all there are.

    Args:
        num_frames: S, more than L.
        generator: draws the starts; None takes the middle of each third, where the official code draws then too.
    """
    thirds = np.array_split(np.arange(num_frames - config.target_length + 1), 3)
    places = [len(third) // 2 if generator is None else int(generator.integers(max(1, len(third)))) for third in thirds]
    # Two starts in all leave the last third empty; it then takes the first (official code).
    front, middle, back = (int(third[place]) if len(third) else 0 for third, place in zip(thirds, places, strict=True))
    return front, middle, back


def three_channels(waveform: Tensor, starts: Starts | None, config: AudioConfig) -> Tensor:
    """The spectrogram of the encoder's length, before normalisation.

    Args:
        waveform: (channels, samples) at the configured rate; the mean of all channels is subtracted and the first one
            is heard (official code).
        starts: of the three crops, where the sound is longer than the target; each window sees its own samples only,
            so that what is between the crops need not be computed.
    Returns: (3, M, L) float32.
    """
    sound = waveform[:1] - waveform.mean()
    if starts is None:
        return _to_length(_log_mel(sound, config), config).T.expand(3, -1, -1)
    window, shift = (config.sample_rate_hz * length // 1000 for length in (_WINDOW_MS, _SHIFT_MS))
    length = (config.target_length - 1) * shift + window
    crops = [_log_mel(sound[:, start * shift : start * shift + length], config) for start in starts]
    return torch.stack(crops).transpose(1, 2)


def _log_mel(sound: Tensor, config: AudioConfig) -> Tensor:
    """(S, M). Kaldi's defaults otherwise: pre-emphasis 0.97, mean of each window removed, power, from 20 Hz."""
    return kaldi.fbank(
        sound,
        htk_compat=True,
        sample_frequency=config.sample_rate_hz,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=config.num_mel_bins,
        dither=0.0,
        frame_length=_WINDOW_MS,
        frame_shift=_SHIFT_MS,
    )


def _to_length(mel_SM: Tensor, config: AudioConfig) -> Tensor:
    """(L, M) of a spectrogram that is not longer: repeated."""
    wanted = config.target_length
    if config.short == "repeat_and_cut":
        return mel_SM.repeat(-(-wanted // len(mel_SM)), 1)[:wanted]
    whole = mel_SM.repeat(wanted // len(mel_SM), 1)
    return torch.nn.functional.pad(whole, (0, 0, 0, wanted - len(whole)))
