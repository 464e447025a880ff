"""Small valid media, made on the spot."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import av
import cv2
import numpy as np
import soundfile
from PIL import Image

RATE_HZ = 16_000
FRAGMENTED = "frag_keyframe+empty_moov"
"""A mp4 written in pieces; its header tells no number of frames."""


def image_bytes(pixels: np.ndarray, image_format: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """A picture as Pillow writes it, RGB order; converted to `mode` first."""
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, image_format, **options)
    return out.getvalue()


def deep_image_bytes(suffix: str, pixels: np.ndarray) -> bytes:
    """A picture with all its bits, as OpenCV writes it, from RGB order."""
    return cv2.imencode(suffix, pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])[
        1
    ].tobytes()


def video_bytes(frames: Sequence[np.ndarray], container: str = "mp4", codec: str = "mpeg4", **options: str) -> bytes:
    """RGB frames (H, W, 3) uint8 as a clip without sound; `options` go to the container."""
    out = io.BytesIO()
    height, width = frames[0].shape[:2] if len(frames) else (32, 48)
    with av.open(out, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number
            file.mux(stream.encode(picture))
        if len(frames):
            file.mux(stream.encode())
        else:
            file.start_encoding()
    return out.getvalue()


def grey_frames(levels: Sequence[int], height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Plain frames of these grey levels."""
    return [np.full((height, width, 3), level, dtype=np.uint8) for level in levels]


def sound_bytes(
    waveform: np.ndarray, file_format: str = "WAV", rate_hz: int = RATE_HZ, subtype: str | None = None
) -> bytes:
    """(samples,) or (samples, channels) in [-1, 1] as libsndfile writes it."""
    out = io.BytesIO()
    soundfile.write(out, waveform, rate_hz, format=file_format, subtype=subtype)
    return out.getvalue()


def m4a_bytes(waveform: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
    """(samples,) as AAC."""
    out = io.BytesIO()
    with av.open(out, "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()


def tone(seconds: float, hz: float = 1_000, rate_hz: int = RATE_HZ) -> np.ndarray:
    """(samples,) of a sine, half of full scale."""
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)


@cache
def good_media(modality: str, seed: int) -> tuple[bytes, ...]:
    """One valid file of each type that the modality reads."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    deep = rng.integers(0, 65_536, (24, 32), dtype=np.uint16)
    noise = 0.1 * rng.standard_normal(RATE_HZ)
    if modality == "image":
        return image_bytes(colours, "JPEG"), image_bytes(colours, "PNG"), image_bytes(colours, "PNG", mode="P")
    if modality == "infrared":
        return image_bytes(colours, "JPEG"), image_bytes(deep), deep_image_bytes(".tif", deep)
    if modality == "depth":
        return (image_bytes(deep),)
    if modality == "audio":
        return *(sound_bytes(noise, kind) for kind in ("WAV", "FLAC", "OGG", "MP3")), m4a_bytes(noise)
    frames = [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(10)]
    return video_bytes(frames), video_bytes(frames, codec="h264"), video_bytes(frames, movflags=FRAGMENTED)
