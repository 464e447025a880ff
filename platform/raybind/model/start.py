"""How a modality's model starts from an image-language base, as the official code converts it."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, cat

from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture
from raybind.model.base import State

VISION = "encoder.vision"


def starting_state(base: State, base_arch: ClipArchitecture, arch: ClipArchitecture) -> State:
    """The weights a model starts with. What a base cannot have, `temporal_embedding`, is not among them.

    Position embeddings are resized to another grid; temporal attention and its layer norm start as those over patches;
    the class token of each frame as the image's; texts shorter than the base's keep their first positions.

    Args:
        base: fits `base_arch`.
        arch: of the same sizes, for another input.
    """
    state = dict(base)
    if arch.vision.grid != base_arch.vision.grid:
        name = f"{VISION}.position_embedding"
        state[name] = resize_position_embedding(base[name], base_arch.vision.grid, arch.vision.grid)
    if arch.vision.temporal_attention:
        for part, temporal in ((".self_attn.", ".temporal_attn."), (".layer_norm1.", ".temporal_layer_norm1.")):
            names = [name for name in base if name.startswith(f"{VISION}.layers.") and part in name]
            state |= {name.replace(part, temporal): base[name] for name in names}
    if arch.vision.frame_class_tokens:
        assert arch.vision.input.num_frames is not None
        name = f"{VISION}.class_embedding"
        state[name] = base[name].expand(arch.vision.input.num_frames, -1)
    state["language.position_embedding"] = base["language.position_embedding"][: arch.text.context_length]
    return state


def resize_position_embedding(table: Tensor, from_grid: tuple[int, int], to_grid: tuple[int, int]) -> Tensor:
    """Position embeddings of one grid of patches for another one.

    Args:
        table: (1 + P, D), the class token's first; it stays.
        from_grid: rows and columns the table belongs to.
        to_grid: rows and columns wanted; of a spectrogram mel bins and time.
    Returns: (1 + P', D), antialiased bicubic interpolation of each channel.
    """
    grid_DRC = table[1:].T.unflatten(1, from_grid)
    resized = F.interpolate(grid_DRC[None], to_grid, mode="bicubic", antialias=True, align_corners=False)[0]
    return cat([table[:1], resized.flatten(1).T])


def check_fit(state: State, expected: Mapping[str, Tensor], what: str = "base weights") -> None:
    """Raises: ConfigError: a name is missing or unexpected, or a shape is another; lists all of them."""
    problems = [f"missing {name}" for name in sorted(expected.keys() - state.keys())]
    problems += [f"unexpected {name}" for name in sorted(state.keys() - expected.keys())]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, the architecture {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & state.keys())
        if state[name].shape != expected[name].shape
    ]
    if problems:
        raise ConfigError(f"{what} do not fit the architecture:\n" + "\n".join(problems))
