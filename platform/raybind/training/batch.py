"""From arrays as read to tensors as the model takes them.

Legend: B rows of a batch, L tokens, M kept patches.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybind.config.data import PreprocessConfig
from raybind.data.order import sample_generator
from raybind.data.reader import Arrays
from raybind.modalities.base import Modality
from raybind.model.masking import draw_kept_patches
from raybind.model.tokenizer import Tokenizer


@dataclass(frozen=True)
class Batch:
    """One rank's share of a global batch, on its device."""

    pixel_values: Tensor
    """(B, C, H, W) float32, or (B, C, T, H, W) of clips."""
    texts: Tensor
    """(B, L) int64 token ids, or (B, E) float32 embeddings where these came with the samples."""
    kept_BM: Tensor | None
    """int64, the visible patches, of a clip the same in all its frames; None where nothing is masked."""
    valid_B: Tensor
    """bool, false where the sample could not be read, and for padding."""

    def split(self, num_parts: int) -> "list[Batch]":
        """The same samples in parts of one size, which `num_parts` must divide."""
        size = len(self.valid_B) // num_parts
        rows = [slice(part * size, (part + 1) * size) for part in range(num_parts)]
        kept_BM = self.kept_BM
        return [
            Batch(self.pixel_values[r], self.texts[r], None if kept_BM is None else kept_BM[r], self.valid_B[r])
            for r in rows
        ]


@dataclass(frozen=True)
class Collator:
    """Tokenises, draws the patch masks, moves a batch to the device and normalises it there."""

    tokenizer: Tokenizer
    num_patches: int
    mask_ratio: float
    seed: int
    device: torch.device
    modality: Modality
    preprocess: PreprocessConfig

    def __call__(self, arrays: Arrays) -> Batch:
        """Make a batch of what `SampleReader.read_batch` returned, with `epoch` beside it."""
        epoch = int(arrays["epoch"][0])
        masks = [sample_generator(self.seed, epoch, int(number), "mask") for number in arrays["number"]]
        kept = draw_kept_patches(masks, self.num_patches, self.mask_ratio)
        return Batch(
            pixel_values=self.modality.normalise(self._tensor(arrays["prepared"]), self.preprocess),
            texts=self._tensor(self._texts(arrays)),
            kept_BM=None if kept is None else self._tensor(kept),
            valid_B=self._tensor((arrays["fault"] == "") & ~arrays["padding"]),
        )

    def _texts(self, arrays: Arrays) -> np.ndarray:
        if "text_embedding" in arrays:
            return arrays["text_embedding"]
        return self.tokenizer([str(text) for text in arrays["text"]])

    def _tensor(self, array: np.ndarray) -> Tensor:
        with warnings.catch_warnings():
            # Blocks of the object store are read-only memory, and so is a tensor of them; nothing writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            return torch.from_numpy(array).to(self.device)
