"""Token ids against recordings of the official tokenizers."""

import json
from pathlib import Path

import numpy as np
import pytest

from raybind.model.tokenizer import Tokenizer

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "tokenizer"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"official recordings are not at {RECORDED}")

END = 49407


@pytest.fixture(scope="module")
def ours() -> np.ndarray:
    sentences = json.loads((RECORDED / "sentences.json").read_text())["sentences"]
    return Tokenizer(vocab_size=49408, context_length=77)(sentences)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED / "tokens.npz") as arrays:
        return dict(arrays)


def test_as_open_clip(ours: np.ndarray, recorded: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(ours, recorded["open_clip_input_ids"])


@pytest.mark.parametrize("name", ["languagebind", "training_hf"])
def test_as_official_code_but_for_its_padding(name: str, ours: np.ndarray, recorded: dict[str, np.ndarray]) -> None:
    """The official tokenizers pad with the end token, ours with 0; what follows the first end token is never looked at.

    Entities and broken characters are mended before either splits the text, which the bare fast tokenizer does not do.
    """
    up_to_end = np.arange(ours.shape[1]) <= ours.argmax(axis=1, keepdims=True)
    np.testing.assert_array_equal(np.where(up_to_end, ours, END), recorded[f"{name}_input_ids"])
    np.testing.assert_array_equal(up_to_end, recorded[f"{name}_attention_mask"])
    assert (recorded["fast_without_cleaning_input_ids"][2] != recorded[f"{name}_input_ids"][2]).any()
