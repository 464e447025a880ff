"""Audio: the same sound in any file, brought to one length."""

import numpy as np
import pytest

from raybind.config.data import AudioConfig, PreprocessConfig
from raybind.errors import DataError
from raybind.modalities import get_modality
from raybind.modalities.media.spectrogram import crop_starts
from tests.unit.modalities.samples import RATE_HZ, m4a_bytes, sound_bytes, tone

AUDIO = get_modality("audio")


def settings(**audio: object) -> PreprocessConfig:
    return PreprocessConfig.model_validate({"audio": {"num_mel_bins": 28, "target_length": 98, **audio}})


def spectrogram(media: bytes | np.ndarray, generator: np.random.Generator | None = None, **audio: object) -> np.ndarray:
    """(3, 28, 98) by default: a second."""
    config = settings(**audio)
    shape = AUDIO.input_shape(56, config)
    return AUDIO.transform(media, shape, config, generator)


@pytest.mark.parametrize(
    ("media", "tolerance"),
    [
        (sound_bytes(tone(1.0)), 1e-3),
        (sound_bytes(tone(1.0), subtype="FLOAT"), 1e-5),
        (sound_bytes(tone(1.0), "FLAC"), 1e-3),
        (sound_bytes(tone(1.0), "OGG"), 0.02),
        (sound_bytes(tone(1.0), "MP3"), 0.02),
        (m4a_bytes(tone(1.0)), 0.02),
        (sound_bytes(np.stack([tone(1.0), 0 * tone(1.0)], axis=1)), 1e-3),
        (sound_bytes(tone(1.0, rate_hz=44_100), rate_hz=44_100), 0.02),
        (sound_bytes(tone(1.0, rate_hz=22_051), rate_hz=22_051), 0.02),
        (sound_bytes(tone(1.0, rate_hz=8_000), rate_hz=8_000), 0.02),
    ],
    ids=["wav", "float", "flac", "ogg", "mp3", "m4a", "first channel", "44.1 kHz", "odd rate", "8 kHz"],
)
def test_one_tone_in_any_file(media: bytes, tolerance: float) -> None:
    """Where the tone is: the loudest bins, in the middle of the second."""
    expected, found = spectrogram(tone(1.0))[0], spectrogram(media)[0]
    loudest = expected[:, 50].argsort()[-2:]
    assert (found.argmax(axis=0)[20:80] == expected.argmax(axis=0)[20:80]).all()
    np.testing.assert_allclose(found[loudest, 20:80], expected[loudest, 20:80], atol=tolerance)


def test_a_short_sound_is_repeated_then_cut_or_padded() -> None:
    short = spectrogram(tone(0.4), target_length=38)[0]
    cut, padded = spectrogram(tone(0.4)), spectrogram(tone(0.4), short="repeat_and_pad")
    np.testing.assert_array_equal(cut[0], np.tile(short, 3)[:, :98])
    np.testing.assert_array_equal(padded[0, :, :76], np.tile(short, 2))
    silence = (0 - AudioConfig().mean) / (2 * AudioConfig().std)
    np.testing.assert_allclose(padded[0, :, 76:], silence, rtol=1e-6)
    for mel in (cut, padded):
        np.testing.assert_array_equal(mel[0], mel[1])
        np.testing.assert_array_equal(mel[0], mel[2])


def test_a_long_sound_is_seen_in_three_crops() -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal(6 * RATE_HZ)
    whole = spectrogram(sound, target_length=598)[0]
    starts = crop_starts(598, settings().audio, None)
    assert starts == (83, 250, 417), "the middle of each third of all starts"
    for channel, start in zip(spectrogram(sound), starts, strict=True):
        np.testing.assert_allclose(channel, whole[:, start : start + 98], atol=1e-5)
    drawn = spectrogram(sound, np.random.default_rng(1))
    assert (drawn != spectrogram(sound)).any()
    np.testing.assert_array_equal(drawn, spectrogram(sound, np.random.default_rng(1)))


def test_crops_are_drawn_each_from_its_third() -> None:
    config, generator = settings().audio, np.random.default_rng(0)
    drawn = np.array([crop_starts(98 + 8, config, generator) for _ in range(200)])
    assert [sorted(set(column)) for column in drawn.T.tolist()] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert crop_starts(98 + 1, config, None) == (0, 1, 0), "of two starts, the last third takes the first again"


def test_limits_and_what_is_no_sound() -> None:
    with pytest.raises(DataError, match=r"more than preprocess.audio.max_samples=15999 samples"):
        spectrogram(sound_bytes(tone(1.0)), max_samples=15_999)
    with pytest.raises(DataError, match=r"399 samples at 16000 Hz are less than one window of 25 ms"):
        spectrogram(tone(1.0)[:399])
    with pytest.raises(DataError, match=r"a sample rate of 1 Hz is not between"):
        spectrogram(sound_bytes(tone(1.0), rate_hz=1))
    with pytest.raises(DataError, match=r"sound of format AIFF"):
        spectrogram(sound_bytes(tone(1.0), "AIFF"))
    with pytest.raises(DataError, match=r"this has the shape \(1, 3\) and the type int64"):
        spectrogram(np.array([1, 2, 3]))
    with pytest.raises(DataError, match="not finite"):
        spectrogram(np.where(tone(1.0) > 0.49, np.nan, tone(1.0)))
