"""Prompt ensembles are those of the paper and of open_clip."""

import zlib

import open_clip
import pytest
import torch

from raybind.errors import ConfigError
from raybind.evaluation.prompts import class_embeddings
from raybind.modalities import get_modality
from raybind.model.prompts import modality_templates

IMAGENET_TEMPLATES = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]


def encode(texts: list[str]) -> torch.Tensor:
    """A stand-in for a text encoder: a fixed random vector, of any length, for each text."""
    return torch.stack(
        [torch.randn(16, generator=torch.Generator().manual_seed(zlib.crc32(text.encode()))) for text in texts]
    )


class ClipOfStandIn:
    """What `open_clip.build_zero_shot_classifier` needs of a model; its "tokens" are the texts' places."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def tokenize(self, texts: list[str]) -> torch.Tensor:
        self.texts = texts
        return torch.arange(len(texts))

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        return torch.nn.functional.normalize(encode([self.texts[place] for place in tokens.tolist()]), dim=1)


def test_class_embeddings_equal_open_clips_classifier():
    names = ["living room", "kitchen", "street"]
    model = ClipOfStandIn()
    expected = open_clip.build_zero_shot_classifier(model, model.tokenize, names, IMAGENET_TEMPLATES, None)
    torch.testing.assert_close(class_embeddings(names, IMAGENET_TEMPLATES, encode), expected.T)


def test_the_length_of_a_prompts_embedding_does_not_weigh():
    scaled = class_embeddings(["a", "b"], ["x {}", "y {}"], lambda texts: encode(texts) * len(texts[0]))
    torch.testing.assert_close(scaled, class_embeddings(["a", "b"], ["x {}", "y {}"], encode))
    torch.testing.assert_close(scaled.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("modality", "new"),
    [("video", "video"), ("depth", "depth photo"), ("audio", "sound"), ("infrared", "photo"), ("image", "photo")],
)
def test_templates_in_a_modalitys_words(modality, new):
    templates = modality_templates(get_modality(modality).photo_words)
    assert len(templates) == 80
    assert templates[0] == f"a bad {new} of a {{}}."
    assert "a sculpture of a {}." in templates
    assert all(ours == clips.replace("photo", new) for clips, ours in zip(IMAGENET_TEMPLATES, templates, strict=True))


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_templates_need_one_place_for_the_class_name(template):
    with pytest.raises(ConfigError, match="exactly once"):
        class_embeddings(["dog"], [template], encode)


def test_an_ensemble_of_nothing_is_an_error():
    with pytest.raises(ConfigError, match="0 prompt templates"):
        class_embeddings(["dog"], [], encode)
