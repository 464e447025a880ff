"""Prompt ensembles: what a class is called in words, and the one embedding that stands for it.

A template is a text with one `{}` for the class name (`model.prompts` has the usual ones). Tokenising and encoding
are the caller's: this module is handed a function from texts to embeddings.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raybind.errors import ConfigError


def class_embeddings(
    class_names: Sequence[str], templates: Sequence[str], encode_texts: Callable[[list[str]], Tensor]
) -> Tensor:
    """One embedding for each class: the mean over templates of unit vectors, made unit-norm again.

    The same as open_clip's `build_zero_shot_classifier`, transposed.

    Args:
        class_names: C phrases as a prompt takes them ("living room", not "living_room").
        encode_texts: n texts -> (n, D); called once with all C * len(templates) prompts, so it does the batching.
    Returns: (C, D) unit-norm.
    Raises: ConfigError: no class, no template, or a template without exactly one `{}`.
    """
    if not class_names or not templates:
        raise ConfigError(
            f"{len(class_names)} class names and {len(templates)} prompt templates; give one or more each"
        )
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(f"prompt template {template!r} must hold {{}} exactly once, where the class name goes")
    prompts = [template.replace("{}", name) for name in class_names for template in templates]
    prompts_ND = torch.nn.functional.normalize(encode_texts(prompts), dim=-1)
    mean_CD = prompts_ND.unflatten(0, (len(class_names), len(templates))).mean(dim=1)
    return torch.nn.functional.normalize(mean_CD, dim=-1)
