"""Prompt ensembles are those of the paper and of open_clip."""

import zlib

import open_clip
import pytest
import torch

from raybind.errors import ConfigError
from raybind.evaluation.prompts import class_embeddings, substitute

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
    ("new", "first"),
    [
        ("video", "a bad video of a {}."),
        ("depth photo", "a bad depth photo of a {}."),
        ("sound", "a bad sound of a {}."),
    ],
)
def test_substitution_follows_the_paper(new, first):
    replaced = substitute(IMAGENET_TEMPLATES, "photo", new)
    assert len(replaced) == 80
    assert replaced[0] == first
    assert "a sculpture of a {}." in replaced
    changed = [pair for pair in zip(IMAGENET_TEMPLATES, replaced, strict=True) if pair[0] != pair[1]]
    assert len(changed) == sum("photo" in template for template in IMAGENET_TEMPLATES)
    assert all(before.replace("photo", new) == after for before, after in changed)


def test_substitution_takes_whole_words_and_plain_text():
    assert substitute(["a photo, a photograph of {}"], "photo", r"\1") == (r"a \1, a photograph of {}",)


def test_a_substitution_that_changes_nothing_is_an_error():
    with pytest.raises(ConfigError, match="'foto'"):
        substitute(["a photo of {}"], "foto", "video")


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_templates_need_one_place_for_the_class_name(template):
    with pytest.raises(ConfigError, match="exactly once"):
        class_embeddings(["dog"], [template], encode)


def test_an_ensemble_of_nothing_is_an_error():
    with pytest.raises(ConfigError, match="0 prompt templates"):
        class_embeddings(["dog"], [], encode)
