"""Published titles become the texts that the official training sent to its tokenizer."""

import json

import pytest

from raybind.data.texts import clean_title
from tests.parity.recordings import FIXTURES, MISSING

RECORDED = FIXTURES / "tokenizer" / "sentences.json"


@pytest.mark.skipif(not RECORDED.exists(), reason=MISSING)
def test_recorded_titles() -> None:
    for pair in json.loads(RECORDED.read_text())["raw_title_cleaning"]:
        assert clean_title(pair["raw"]) == pair["text_sent_to_tokenizer"]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Shortbread at home #baking #YouTubeShorts", "shortbread at home, baking"),
        ("viral video", ", "),
        ("#viralshorts #dog", ", dog"),
    ],
)
def test_noise_goes_and_longer_words_stay(raw: str, cleaned: str) -> None:
    assert clean_title(raw) == cleaned
