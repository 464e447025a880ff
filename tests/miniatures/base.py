"""What all miniatures of benchmarks share: what they promise, and tiny media."""

import io
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


@dataclass(frozen=True)
class ExpectedItem:
    """What an item must be read as."""

    modalities: tuple[str, ...]
    captions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """As prompts call them."""


Expected = dict[str, ExpectedItem]
"""By the data set's own name of an item, in the order of the annotations."""


def write(folder: Path, name: str, data: bytes | str) -> None:
    """Write a file below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def picture(number: int, suffix: str = ".jpg", size: tuple[int, int] = (96, 128), bits: int = 8) -> bytes:
    """A picture of (height, width) with a pattern of its own."""
    generator = np.random.default_rng(number)
    coarse = generator.integers(0, 2**bits, (6, 8) if bits == 16 else (6, 8, 3)).astype(f"uint{bits}")
    pixels = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def sound(number: int, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    """A wav file with a tone of its own."""
    times = np.arange(int(seconds * rate)) / rate
    samples = 0.3 * np.sin(2 * np.pi * (200 + 37 * number) * times)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def video(number: int, container: str = "mp4", with_sound: bool = False, num_frames: int = 8) -> bytes:
    """A video of 64 x 48 pixels; container: mp4, mov, matroska, webm, avi."""
    file = io.BytesIO()
    generator = np.random.default_rng(number)
    codec = {"webm": "libvpx"}.get(container, "mpeg4")
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        voice = None
        if with_sound:
            voice = out.add_stream({"webm": "libopus", "avi": "mp2"}.get(container, "aac"), rate=16_000)
        for _ in range(num_frames):
            pixels = cv2.resize(generator.integers(0, 256, (3, 4, 3), dtype=np.uint8), (64, 48))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
        if voice is not None:
            times = np.arange(16_000) / 16_000
            tone = (0.3 * np.sin(2 * np.pi * (200 + 37 * number) * times)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), 0
            for resampled in av.AudioResampler(format=voice.format.name, layout="mono", rate=16_000).resample(frame):
                out.mux(voice.encode(resampled))
            out.mux(voice.encode(None))
    return file.getvalue()
