"""IMU: six axes of acceleration and turning rate, as a log spectrogram; frequencies are its rows, time its columns."""

import io

import numpy as np

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities.base import Modality
from raybind.model.input_shape import InputShape

_NUM_FREQUENCIES, _WINDOW, _HOP = 28, 54, 8


class Imu(Modality):
    """(6, samples) floats, acceleration x, y, z, then turning rate x, y, z -> (3, 56, 112): one axis in each channel,
    acceleration in the upper half and turning rate in the lower; a shorter signal is repeated, a longer one cut."""

    name = "imu"
    file_types = ("npy",)
    photo_words = "motion"

    def decode(self, media: bytes, config: PreprocessConfig) -> np.ndarray:
        """See `Modality.decode`."""
        try:
            return np.load(io.BytesIO(media), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"not a readable npy file: {error}", cause="undecodable media") from None

    def prepare(
        self,
        content: np.ndarray,
        shape: InputShape,
        config: PreprocessConfig,
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """See `Modality.prepare`; nothing is drawn."""
        if content.ndim != 2 or content.shape[0] != 6 or content.shape[1] == 0 or not np.isfinite(content).all():
            raise DataError(f"IMU has six axes of finite values; this has shape {content.shape}", cause="wrong shape")
        num_samples = _WINDOW + _HOP * (shape.width - 1)
        signal = np.tile(content, -(-num_samples // content.shape[1]))[:, :num_samples]
        windows = np.lib.stride_tricks.sliding_window_view(signal, _WINDOW, axis=1)[:, ::_HOP] * np.hanning(_WINDOW)
        power = np.log1p(np.abs(np.fft.rfft(windows, axis=2))).transpose(0, 2, 1)
        return np.concatenate([power[:3], power[3:]], axis=1).astype(np.float32)

    def input_shape(self, image_size: int, config: PreprocessConfig) -> InputShape:
        """Two times 28 frequencies and 112 windows."""
        return InputShape(2 * _NUM_FREQUENCIES, 112)


MODALITY = Imu()
