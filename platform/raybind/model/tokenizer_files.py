"""CLIP's vocabulary as the files that Hugging Face's tokenizers load."""

import json
from pathlib import Path

from raybind.model.tokenizer import Tokenizer


def write_tokenizer(folder: Path, vocab_size: int, context_length: int) -> None:
    """Write `vocab.json`, `merges.txt` and the two files of settings; transformers' CLIPTokenizer reads them.

    Padding is the end token, as in the official directories; what follows the first end token changes no embedding.
    """
    tokenizer = Tokenizer(vocab_size, context_length)
    start, end = tokenizer.special_tokens
    merges = [" ".join(pair) for pair in tokenizer.merges]
    _write_json(folder / "vocab.json", tokenizer.vocabulary)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    special = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    _write_json(folder / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": context_length, "do_lower_case": True}
    _write_json(folder / "tokenizer_config.json", settings | special)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
