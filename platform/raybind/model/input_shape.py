"""What an encoder is fed: the sizes that a modality, the readers and the model agree on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InputShape:
    """Three channels of height x width, and a number of frames where the modality moves."""

    height: int
    """Pixels; mel bins of a spectrogram."""
    width: int
    """Pixels; filterbank frames of a spectrogram."""
    num_frames: int | None = None
    """Frames of a clip; None for a modality without a time axis of its own."""

    @property
    def array(self) -> tuple[int, ...]:
        """(3, H, W), or (3, T, H, W) with frames."""
        frames = () if self.num_frames is None else (self.num_frames,)
        return (3, *frames, self.height, self.width)
