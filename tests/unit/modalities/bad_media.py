"""Media files that cannot be what they say, and a process that reads them: `python -m ... <folder>`.

The process reads every file `<modality>/<kind>-<number>` of the folder, as training would, and prints a JSON report.
"""

import json
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities import get_modality
from tests.unit.modalities.samples import (
    FRAGMENTED,
    deep_image_bytes,
    good_media,
    grey_frames,
    image_bytes,
    m4a_bytes,
    sound_bytes,
    tone,
    video_bytes,
)

MODALITIES = ("image", "infrared", "depth", "audio", "video")
PICTURES = ("image", "infrared", "depth")

Rng = np.random.Generator
T = TypeVar("T")


def truncated(modality: str, rng: Rng) -> bytes:
    good = _some_good(modality, rng)
    end = int(rng.integers(1, len(good)))
    # A mp4 in fragments that ends between two of them is a shorter one, and whole.
    return good[: end - 1 if good[end + 4 : end + 8] in (b"moof", b"mfra") else end]


def empty(modality: str, rng: Rng) -> bytes:
    return b""


def wrong_type(modality: str, rng: Rng) -> bytes:
    others = [name for name in MODALITIES if name != modality and not {name, modality} <= set(PICTURES)]
    candidates = [
        b"<!DOCTYPE html><title>404</title>",
        rng.bytes(500),
        _some_good(modality, rng)[:16] + rng.bytes(500),
        _some_good(_pick(others, rng), rng),
        # A playlist and a concatenation script, which name other files.
        b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
    ]
    return _pick(candidates, rng)


def huge_dimensions(modality: str, rng: Rng) -> bytes:
    side = int(rng.integers(6_000, 60_000))
    if modality == "audio":
        return _wav_header(num_bytes=int(rng.integers(2**24, 2**31 - 100)), channels=int(rng.integers(1, 60_000)))
    if modality == "video":
        return _large_frame()
    return _png(side, side, bits=16, colour=0, data=zlib.compress(rng.bytes(100)))


def many_channels(modality: str, rng: Rng) -> bytes:
    if modality == "audio":
        return sound_bytes(np.zeros((int(rng.integers(1, 300)), 1_000)))
    tiff = deep_image_bytes(".tif", rng.integers(0, 65_536, (8, 8), dtype=np.uint16))
    return _pick([_png(8, 8, bits=8, colour=100, data=zlib.compress(bytes(8 * 801))), _tiff_channels(tiff, 100)], rng)


def zip_bomb(modality: str, rng: Rng) -> bytes:
    return _pick([_bomb_of_pixels(), _bomb_of_text()], rng)


def long_and_thin(modality: str, rng: Rng) -> bytes:
    pixels = np.zeros((int(rng.integers(1, 4)), int(rng.integers(1_000, 50_000))), np.uint16)
    return image_bytes(pixels if rng.random() < 0.5 else pixels.T)


def not_finite(modality: str, rng: Rng) -> bytes:
    sound = tone(0.5).astype(np.float32)
    sound[rng.integers(len(sound))] = _pick([np.nan, np.inf, -np.inf], rng)
    return sound_bytes(sound, subtype="FLOAT")


def no_content(modality: str, rng: Rng) -> bytes:
    if modality == "audio":
        return sound_bytes(np.zeros(int(rng.integers(0, 399))))
    fragmented = video_bytes(grey_frames(range(10)), movflags=FRAGMENTED)
    header_alone = fragmented[: fragmented.index(b"moof") - 4]
    return _pick([header_alone, video_bytes([]), m4a_bytes(tone(0.2))], rng)


KINDS: dict[str, tuple[Callable[[str, Rng], bytes], ...]] = {
    **dict.fromkeys(PICTURES, (huge_dimensions, many_channels, zip_bomb, long_and_thin)),
    "audio": (huge_dimensions, many_channels, not_finite, no_content),
    "video": (huge_dimensions, no_content),
}


def write_bad_media(folder: Path, count: int, seed: int) -> None:
    """`count` files per modality, half of them cut short at a random place."""
    for modality in MODALITIES:
        rng = np.random.default_rng(seed)
        kinds = (empty, wrong_type, *KINDS[modality])
        (folder / modality).mkdir(parents=True)
        for number in range(count):
            kind = kinds[number // 2 % len(kinds)] if number % 2 else truncated
            (folder / modality / f"{kind.__name__}-{number}").write_bytes(kind(modality, rng))


def damaged_media(modality: str, count: int, seed: int) -> Iterator[bytes]:
    """Valid files with a few bytes changed anywhere; some of them can still be read."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        media = bytearray(_some_good(modality, rng))
        for place in rng.integers(0, len(media), int(rng.integers(1, 20))):
            media[place] = rng.integers(256)
        yield bytes(media)


def report(folder: Path) -> dict[str, object]:
    """Read all files. Returns: outcomes counted by modality, kind and cause; slowest file; growth of peak memory."""
    config = PreprocessConfig()
    for modality in MODALITIES:
        for media in good_media(modality, seed=0):
            _read(modality, media, config)
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, Counter[str]] = {}
    slowest = 0.0
    for path in sorted(folder.glob("*/*")):
        media = path.read_bytes()
        started = time.monotonic()
        outcome = _read(path.parent.name, media, config)
        slowest = max(slowest, time.monotonic() - started)
        outcomes.setdefault(path.parent.name, Counter())[f"{path.name.split('-')[0]}: {outcome}"] += 1
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before
    return {"outcomes": outcomes, "slowest_seconds": slowest, "peak_memory_growth_mib": growth / 1024}


def _read(modality: str, media: bytes, config: PreprocessConfig) -> str:
    module = get_modality(modality)
    try:
        module.transform(media, module.input_shape(224, config), config, np.random.default_rng(0))
    except DataError as error:
        return error.cause
    return "READ"


def _some_good(modality: str, rng: Rng) -> bytes:
    return _pick(good_media(modality, seed=int(rng.integers(8))), rng)


def _pick(candidates: Sequence[T], rng: Rng) -> T:
    return candidates[int(rng.integers(len(candidates)))]


def _png(width: int, height: int, bits: int, colour: int, data: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), extra, _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def _bomb_of_pixels() -> bytes:
    """Deflated a thousandfold: 128 MB of black from 130 kB."""
    side = 8_000
    return _png(side, side, bits=16, colour=0, data=zlib.compress(bytes(side * (2 * side + 1))))


@cache
def _bomb_of_text() -> bytes:
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20_000_000)))
    return _png(8, 8, bits=16, colour=0, data=zlib.compress(bytes(8 * 17)), extra=text)


@cache
def _large_frame() -> bytes:
    return video_bytes(grey_frames([0], height=5_800, width=5_800))


def _tiff_channels(tiff: bytes, channels: int) -> bytes:
    """The file with its SamplesPerPixel tag (277, one short) changed."""
    tag = struct.pack("<HHIH", 277, 3, 1, 1)
    assert tag in tiff
    return tiff.replace(tag, struct.pack("<HHIH", 277, 3, 1, channels))


def _wav_header(num_bytes: int, channels: int) -> bytes:
    layout = struct.pack("<HHIIHH", 1, channels, 16_000, 32_000 * channels, (2 * channels) & 0xFFFF, 16)
    body = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", num_bytes) + bytes(1000)
    return b"RIFF" + struct.pack("<I", num_bytes + 36) + b"WAVE" + body


if __name__ == "__main__":
    json.dump(report(Path(sys.argv[1])), sys.stdout)
