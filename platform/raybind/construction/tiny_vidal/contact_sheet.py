"""A picture of samples in all their modalities, for a person to judge a data set by.

Works on any `Sample`, generated or read from elsewhere. Rows are samples; columns are image, depth, infrared, video
frames, spectrogram and a caption.
"""

import io
import textwrap
from collections.abc import Sequence

import av
import cv2
import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raybind.data.sample import Sample

Array = np.ndarray
_NUM_VIDEO_FRAMES = 4
_COLUMNS = ("image", "depth", "infrared", *["video"] * _NUM_VIDEO_FRAMES, "audio", "caption")


def contact_sheet(samples: Sequence[Sample]) -> bytes:
    """Draw samples in all their modalities; a modality that a sample lacks leaves its place empty.

    Returns:
        PNG bytes.
    """
    figure = Figure(figsize=(1.5 * len(_COLUMNS) + 1.5, 1.5 * len(samples) + 0.3), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(samples), len(_COLUMNS), squeeze=False, gridspec_kw={"width_ratios": [1] * (len(_COLUMNS) - 1) + [2]}
    )
    for row, sample in zip(grid, samples, strict=True):
        for axes in row:
            axes.axis("off")
        _draw_stills(row, sample)
        _draw_video(row[3 : 3 + _NUM_VIDEO_FRAMES], sample)
        _draw_sound(row[-2], sample)
        _draw_caption(row[-1], sample)
    for axes, title in zip(grid[0], _COLUMNS, strict=True):
        axes.set_title(title, fontsize=8)
    sink = io.BytesIO()
    canvas.print_png(sink)
    return sink.getvalue()


def _draw_stills(row: Sequence[Axes], sample: Sample) -> None:
    if "image" in sample.media:
        row[0].imshow(_decode(sample.media["image"][0].data)[..., ::-1])
    if "depth" in sample.media:
        metres = _decode(_middle(sample, "depth")) / 1000
        row[1].imshow(np.where(metres > 0, metres, np.nan), cmap="turbo_r", vmin=1, vmax=10)
    if "infrared" in sample.media:
        grey = _decode(_middle(sample, "infrared"))
        row[2].imshow(grey if grey.ndim == 2 else grey[..., 0], cmap="inferno", vmin=0, vmax=255)


def _draw_video(row: Sequence[Axes], sample: Sample) -> None:
    if "video" not in sample.media:
        return
    with av.open(io.BytesIO(sample.media["video"][0].data), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for axes, place in zip(row, np.linspace(0, len(frames) - 1, len(row)).round(), strict=True):
        axes.imshow(frames[int(place)])


def _draw_sound(axes: Axes, sample: Sample) -> None:
    if "audio" not in sample.media:
        return
    waveform, rate_hz = soundfile.read(io.BytesIO(sample.media["audio"][0].data), always_2d=True)
    axes.specgram(waveform[:, 0] + 1e-6, NFFT=512, Fs=rate_hz, noverlap=256, cmap="magma", vmin=-140)
    axes.set_box_aspect(1)


def _draw_caption(axes: Axes, sample: Sample) -> None:
    texts = sample.metadata.texts
    caption = texts.enhanced or texts.video or texts.raw or " ".join(texts.captions)
    first = next((text for text in texts.keyframes if text), "")
    lines = [sample.metadata.id, *textwrap.wrap(caption, 44), *textwrap.wrap(first, 44)]
    axes.text(0, 0.5, "\n".join(lines), fontsize=6.5, va="center", transform=axes.transAxes)


def _middle(sample: Sample, modality: str) -> bytes:
    files = sample.media[modality]
    return files[len(files) // 2].data


def _decode(data: bytes) -> Array:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
