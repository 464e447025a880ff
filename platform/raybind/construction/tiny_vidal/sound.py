"""Synthesises what is heard: the sound attribute as timbre, the motion as rhythm and pitch, the distance as loudness.

Legend: T audio samples.
"""

import numpy as np

from raybind.construction.tiny_vidal.world import Composition

Array = np.ndarray

SAMPLE_RATE_HZ = 16_000
DURATION_SECONDS = 2.0
_LOUDNESS = {"near": 0.8, "midway": 0.45, "far": 0.22}
"""Peak amplitude, 0..1."""


def synthesise(composition: Composition, rng: np.random.Generator) -> Array:
    """(T,) float32 waveform in -1..1, mono, 16 kHz, two seconds."""
    seconds = np.arange(int(SAMPLE_RATE_HZ * DURATION_SECONDS)) / SAMPLE_RATE_HZ
    pitch, loudness = _rhythm(composition.motion, seconds, rng)
    tuned = np.cumsum(pitch * rng.uniform(0.94, 1.06)) / SAMPLE_RATE_HZ
    wave = _timbre(composition.sound, tuned, rng) * loudness
    wave = wave / np.abs(wave).max() * _LOUDNESS[composition.distance] * rng.uniform(0.9, 1.1)
    return (wave + rng.normal(0, 0.0006, len(wave))).clip(-1, 1).astype(np.float32)


def _rhythm(motion: str, seconds: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Pitch factor (T,) and loudness (T,) over time."""
    start = rng.random()
    pitch, loudness = np.ones_like(seconds), np.ones_like(seconds)
    match motion:
        case "sliding":
            loudness = 0.04 + np.sin(np.pi * (seconds + start)) ** 2
        case "bouncing":
            loudness = _strokes(seconds, np.cumsum([0.02 + 0.1 * start, 0.55, 0.42, 0.31, 0.22, 0.15, 0.1]), 0.09)
        case "circling":
            pitch = 1 + 0.15 * np.sin(2 * np.pi * (5 * seconds + start))
            loudness = 0.65 + 0.35 * np.sin(2 * np.pi * (5 * seconds + start))
        case "swinging":
            pitch = np.where(np.mod(2 * seconds + start, 1) < 0.5, 1.0, 1.5)
        case "pulsing":
            loudness = np.where(np.mod(4 * seconds + start, 1) < 0.5, 1.0, 0.02)
        case "climbing":
            pitch = 0.7 * 2 ** (seconds / DURATION_SECONDS * 1.2)
        case "shaking":
            loudness = np.where(np.mod(14 * seconds + start, 1) < 0.45, 1.0, 0.02)
    return pitch, loudness


def _strokes(seconds: Array, onsets: Array, decay_seconds: float) -> Array:
    """Loudness that jumps to one at each onset and decays."""
    since = seconds[:, None] - onsets
    return np.where(since >= 0, np.exp(-since / decay_seconds), 0).max(1) + 0.005


def _timbre(sound: str, clock: Array, rng: np.random.Generator) -> Array:
    """(T,) sustained tone; `clock` is time stretched by the pitch factor, seconds."""
    turn = 2 * np.pi * clock
    match sound:
        case "bell":
            return _partials(880 * turn, (1.0, 2.76, 5.4))
        case "drum":
            return _partials(140 * turn, (1.0, 1.59, 2.14, 2.92))
        case "whistle":
            return np.sin(2200 * turn + 0.3 * np.sin(2 * np.pi * 30 * clock))
        case "buzzer":
            return np.sign(np.sin(150 * turn))
        case "siren":
            return np.sin(620 * turn + 60 * np.sin(2 * np.pi * 1.5 * clock))
        case "cricket":
            return np.sin(4600 * turn) * (np.sin(2 * np.pi * 36 * clock) > 0)
        case "rattle":
            grains = rng.normal(0, 1, SAMPLE_RATE_HZ)
            return grains[(7000 * clock).astype(int) % len(grains)] * (0.2 + (np.mod(23 * clock, 1) < 0.35))
        case _:
            return _partials(220 * turn, (1, 2, 3, 4, 5, 6))


def _partials(phase: Array, ratios: tuple[float, ...]) -> Array:
    """(T,) sum of sines at multiples of a phase, each as loud as its period is long."""
    return np.sum([np.sin(ratio * phase) / ratio for ratio in ratios], axis=0)
