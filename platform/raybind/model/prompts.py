"""OpenCLIP's prompt templates for zero-shot classification, in a modality's words (LanguageBind, Appendix B).

| modality | "photo" becomes                   |
|----------|-----------------------------------|
| video    | "video"                           |
| depth    | "depth photo"                     |
| audio    | "sound" ("the/a sound of")        |
| infrared | stays "photo": no gain was found  |

Templates without the word ("a sculpture of a {}.") stay, as in the paper's evaluation.
"""

import re

from open_clip import OPENAI_IMAGENET_TEMPLATES


def modality_templates(photo_words: str) -> tuple[str, ...]:
    """The 80 ImageNet templates as strings with `{}` for the class name, `photo_words` in place of "photo"."""
    return tuple(re.sub(r"\bphoto\b", photo_words, template("{}")) for template in OPENAI_IMAGENET_TEMPLATES)
