"""Makes TinyVIDAL samples: draws a composition, renders and writes it, encodes its media as VIDAL stores them.

A sample depends on the configuration, its split and its number alone, so samples can be made in any order, in parallel,
and again.
"""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import soundfile

from raybind.config.tiny_vidal import TinyVidalConfig
from raybind.construction.tiny_vidal import sound, world
from raybind.construction.tiny_vidal.captions import write_texts
from raybind.construction.tiny_vidal.render import paint
from raybind.construction.tiny_vidal.scene import draw_scene
from raybind.construction.tiny_vidal.sensors import measure_depth, measure_heat
from raybind.construction.tiny_vidal.view import look
from raybind.data.sample import MediaFile, Sample, SampleMetadata

Array = np.ndarray


def num_samples(config: TinyVidalConfig) -> dict[str, int]:
    """Samples per split."""
    return {"train": config.num_train, "val": config.num_val, "test": config.num_test}


def generate(config: TinyVidalConfig) -> Iterator[Sample]:
    """All samples, split by split, made as they are asked for."""
    for split, count in num_samples(config).items():
        for number in range(count):
            yield render_sample(config, split, number)


def render_sample(config: TinyVidalConfig, split: str, number: int) -> Sample:
    """Make one sample.

    Args:
        config: seed, sizes and modalities; the numbers of samples are not looked at.
        split: `train`, `val` or `test`.
        number: place in the split, from 0.
    """
    composition = world.composition(config.seed, split, number)
    metadata = SampleMetadata(
        id=f"tiny-{split}-{number:06d}",
        texts=write_texts(composition, _generator(config, split, number, "texts"), config.num_frames),
        labels=composition.labels(),
        source=f"TinyVIDAL, seed {config.seed}",
        license="CC0-1.0",
    )
    media = _visible_media(config, composition, split, number)
    if "audio" in config.modalities:
        waveform = sound.synthesise(composition, _generator(config, split, number, "audio"))
        media["audio"] = (MediaFile("flac", _flac(waveform)),)
    return Sample(metadata, split, {modality: media[modality] for modality in config.modalities})


def _generator(config: TinyVidalConfig, split: str, number: int, purpose: str) -> np.random.Generator:
    """A stream of its own for each purpose: leaving a modality out does not change the others."""
    purposes = ("scene", "texts", "image", "depth", "infrared", "audio")
    return np.random.default_rng([config.seed, world.SPLITS.index(split), number, purposes.index(purpose)])


def _visible_media(
    config: TinyVidalConfig, composition: world.Composition, split: str, number: int
) -> dict[str, tuple[MediaFile, ...]]:
    """Video, image, depth and infrared, as far as they are asked for."""
    wanted, media = set(config.modalities) - {"audio"}, {}
    if not wanted:
        return media
    scene = draw_scene(composition, _generator(config, split, number, "scene"), config.image_size_px, config.num_frames)
    view = look(scene)
    if "video" in wanted:
        media["video"] = (MediaFile("mp4", _mp4(paint(view, range(config.num_frames)))),)
    if "image" in wanted:
        key_frame = int(_generator(config, split, number, "image").integers(config.num_frames))
        media["image"] = (MediaFile("jpg", _jpg(paint(view, [key_frame], still=True)[0, ..., ::-1], 95)),)
    if "depth" in wanted:
        depth = measure_depth(view, _generator(config, split, number, "depth"))
        media["depth"] = _numbered("png", [_png(frame) for frame in depth])
    if "infrared" in wanted:
        heat = measure_heat(view, _generator(config, split, number, "infrared"))
        media["infrared"] = _numbered("jpg", [_jpg(frame, 92) for frame in heat])
    return media


def _numbered(suffix: str, files: list[bytes]) -> tuple[MediaFile, ...]:
    return tuple(MediaFile(f"{place}.{suffix}", data) for place, data in enumerate(files))


def _mp4(frames: Array) -> bytes:
    """(F, H, W, 3) uint8 RGB as H.264 that lasts as long as the sound; one thread, so equal input gives equal bytes."""
    sink = io.BytesIO()
    rate = Fraction(len(frames)) / Fraction(sound.DURATION_SECONDS)
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=rate, options={"preset": "ultrafast", "crf": "16", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return sink.getvalue()


def _jpg(image: Array, quality: int) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _png(image: Array) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _flac(waveform: Array) -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, waveform, sound.SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return sink.getvalue()
