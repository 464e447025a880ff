"""Prompt ensembles: what a class is called in words, and the one embedding that stands for it.

A template is a text with one `{}` for the class name. The templates of CLIP's ImageNet evaluation say "photo"; the
paper fits them to a modality by replacing that word (LanguageBind, Appendix B), here with `substitute`:

| modality | "photo" becomes                   |
|----------|-----------------------------------|
| video    | "video"                           |
| depth    | "depth photo"                     |
| audio    | "sound" ("the/a sound of")        |
| infrared | stays "photo": no gain was found  |

Templates without the word ("a sculpture of a {}.") stay, as in the paper's evaluation. Tokenising and encoding are
the caller's: this module is handed a function from texts to embeddings.
"""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raybind.errors import ConfigError


def substitute(templates: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """Replace the whole word `old` in all templates. Raises: ConfigError: no template has it."""
    word = re.compile(rf"\b{re.escape(old)}\b")
    replaced = tuple(word.sub(lambda _: new, template) for template in templates)
    if replaced == tuple(templates) and old != new:
        raise ConfigError(f"none of {len(templates)} prompt templates has the word {old!r}; check the substitution")
    return replaced


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
