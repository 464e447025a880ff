"""Which patches the encoder sees (LanguageBind, Sec. 3.1, "Patch masking")."""

from collections.abc import Sequence

import numpy as np


def num_kept_patches(num_patches: int, mask_ratio: float) -> int:
    """Patches that stay visible: floor, at least one, as in the official code."""
    return max(1, int(num_patches * (1 - mask_ratio)))


def draw_kept_patches(
    generators: Sequence[np.random.Generator], num_patches: int, mask_ratio: float
) -> np.ndarray | None:
    """Draw the visible patches of each sample, uniformly without replacement.

    Args:
        generators: one per sample, so that a sample's mask does not depend on its neighbours; all frames of a clip
            share its draw.
        mask_ratio: share of patches to hide, in [0, 1).
    Returns: (len(generators), kept) int64, ascending; None where nothing is masked.
    """
    if mask_ratio == 0:
        return None
    kept = num_kept_patches(num_patches, mask_ratio)
    return np.stack([np.sort(generator.permutation(num_patches)[:kept]) for generator in generators])
