"""Preprocessing against recordings of the official transforms, from the same media files.

Recorded as float32, values must agree within 1e-4. Recorded as float16, they must agree within 1e-4 of a value that
rounds to the recorded one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raybind.config.data import PreprocessConfig
from raybind.modalities import get_modality
from raybind.modalities.media.spectrogram import num_spectrogram_frames, resampled, three_channels
from raybind.model.input_shape import InputShape

SHARED = Path(__file__).resolve().parents[3] / "shared"
RECORDED = SHARED / "fixtures" / "preprocess"
MEDIA = SHARED / "data" / "lb_samples"
pytestmark = pytest.mark.skipif(
    not (RECORDED.is_dir() and MEDIA.is_dir()), reason=f"official recordings or their media are not at {SHARED}"
)

TOLERANCE = 1e-4


def recording(name: str) -> dict[str, np.ndarray]:
    with np.load(RECORDED / f"{name}.npz") as arrays:
        return dict(arrays)


def official(**sections: Any) -> PreprocessConfig:
    return PreprocessConfig.model_validate({"antialias": False, **sections})


def transform(modality: str, path: str, config: PreprocessConfig) -> np.ndarray:
    module = get_modality(modality)
    return module.transform((MEDIA / path).read_bytes(), module.input_shape(224, config), config)


def assert_as_recorded(ours: np.ndarray, recorded: np.ndarray) -> None:
    rounding = np.spacing(np.abs(recorded)).astype(np.float32) / 2 if recorded.dtype == np.float16 else 0
    difference = np.abs(ours - recorded.astype(np.float32))
    assert ours.shape == recorded.shape
    assert (difference <= TOLERANCE + rounding).all(), f"differs by up to {difference.max():.2e}"


@pytest.mark.parametrize(
    ("modality", "path", "name", "key"),
    [
        ("image", "image/0.jpg", "image", "pixel_values_sample0"),
        ("image", "image/1.jpg", "image", "pixel_values_sample1_f16"),
        ("depth", "depth/0.png", "depth", "pixel_values_sample0"),
        ("depth", "depth/1.png", "depth", "pixel_values_sample1_f16"),
    ],
)
def test_pictures(modality: str, path: str, name: str, key: str) -> None:
    assert_as_recorded(transform(modality, path, official()), recording(name)[key])


@pytest.mark.parametrize("sample", [0, 1])
def test_infrared(sample: int) -> None:
    ours = transform("infrared", f"thermal/{sample}.jpg", official())
    assert_as_recorded(ours, recording("thermal")["pixel_values_f16"][sample])


def test_antialiased_as_newer_torchvision_does() -> None:
    ours = transform("image", "image/0.jpg", PreprocessConfig())
    assert_as_recorded(ours, recording("image")["pixel_values_antialias_true_sample0_f16"])


@pytest.mark.parametrize(("max_metres", "key"), [(10, "max_depth_10"), (None, "max_depth_0")])
def test_depth_in_units_of_its_maximum(max_metres: float | None, key: str) -> None:
    recorded = recording("depth_norm_unit")
    depth = get_modality("depth").scale(recorded["depth_mm"], official(depth={"max_metres": max_metres}))
    np.testing.assert_array_equal(depth.expand(3, -1, -1).numpy(), recorded[f"normalised_{key}"])


def test_video_arithmetic_without_a_decoder() -> None:
    recorded = recording("video_transform_unit")
    frames = recorded["clip_uint8_c_t_h_w"].transpose(1, 2, 3, 0)
    ours = get_modality("video").transform(frames, InputShape(224, 224, 1), official(video={"num_frames": 1}))
    assert_as_recorded(ours, recorded["pixel_values_f16"])


@pytest.mark.parametrize(("sample", "frames"), [(0, "0_2_5_7"), (1, "0_7")])
def test_video_files(sample: int, frames: str) -> None:
    """The recordings were decoded by decord, ours by PyAV; for these files the pixels are the same."""
    recorded = recording("video")
    ours = transform("video", f"video/{sample}.mp4", official())
    chosen = [int(frame) for frame in frames.split("_")]
    assert_as_recorded(ours[:, chosen], recorded[f"pixel_values_sample{sample}_frames_{frames}_f16"])
    for statistic in ("mean", "std"):
        found = getattr(torch.from_numpy(ours), statistic)((2, 3)).numpy()
        np.testing.assert_allclose(found, recorded[f"per_frame_channel_{statistic}"][sample], atol=TOLERANCE)


@pytest.mark.parametrize(("sample", "key"), [(0, "sample0_channel0"), (1, "sample1_channel0_f16")])
def test_short_sound_is_repeated_and_cut(sample: int, key: str) -> None:
    ours = transform("audio", f"audio/{sample}.wav", official())
    recorded = recording("audio_112x1036")[f"pixel_values_{key}"]
    for channel in ours:
        assert_as_recorded(channel, recorded)


def test_long_sound_in_three_crops_with_the_recorded_starts() -> None:
    recorded = recording("audio_crop_112x602")
    config = official(audio={"target_length": 602})
    waveform = get_modality("audio").decode((MEDIA / "audio" / "0.wav").read_bytes(), config)
    front, middle, back = recorded["crop_start"][0].tolist()
    ours = normalised(three_channels(torch.from_numpy(waveform), (front, middle, back), config.audio), config)
    assert_as_recorded(ours[:, :, :60], recorded["pixel_values_sample0_first60_columns"])
    assert_as_recorded(ours[:, :, -10:], recorded["pixel_values_sample0_last10_columns"])


def test_stereo_is_resampled() -> None:
    recorded = recording("audio_resample_stereo_unit")
    config = official(audio={"num_mel_bins": 28, "target_length": 70})
    waveform = resampled(recorded["waveform_44100"], 44_100, config.audio)
    assert_as_recorded(waveform.numpy(), recorded["resampled_16000"])
    assert num_spectrogram_frames(waveform.shape[1], config.audio) == len(recorded["mel"])
    # With 73 frames and a target of 70 there are two draws; these starts are the recorded one.
    starts = (0, 2, 3)
    ours = three_channels(waveform, starts, config.audio)
    assert_as_recorded(normalised(ours, config), recorded["pixel_values"])
    for channel, start in zip(ours.numpy(), starts, strict=True):
        assert_as_recorded(channel, recorded["mel"].T[:, start : start + 70])


def normalised(mel: torch.Tensor, config: PreprocessConfig) -> np.ndarray:
    return ((mel - config.audio.mean) / (2 * config.audio.std)).numpy()
