"""Text embeddings made once, on real parts: training on them is training with the language encoder, without it."""

from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from raybind.app import embed_text, train
from raybind.config.base import load_config
from raybind.config.train import TrainConfig
from raybind.data.manifest import read_split
from raybind.data.shard_reader import read_metadata
from raybind.data.storage import open_storage
from raybind.data.text_cache import FOLDER, open_cache, text_digest
from raybind.data.texts import all_texts
from raybind.errors import ConfigError, DataError
from raybind.evaluation.known_texts import KnownTexts
from raybind.model.bound import load_language_encoder
from raybind.model.encode import text_encoder
from raybind.model.tokenizer import Tokenizer
from raybind.training.task import starting_model
from tests.integration.test_train import arguments, write_shards

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]


def losses(tracking: str, run: str) -> list[float]:
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("raybind")
    (found,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{run}'")
    return [metric.value for metric in client.get_metric_history(found.info.run_id, "train/loss")]


@pytest.mark.usefixtures("ray_local")
def test_training_on_cached_embeddings_is_the_same(
    s3_root: str, tmp_path: Path, base_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_storage(f"{s3_root}/data")
    write_shards(data)
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    argv = arguments(f"{s3_root}/data", f"{s3_root}/runs", base_weights, tracking)
    cached = [*argv, "run.name=cached", "data.text_embeddings=cached"]
    assert train.main(cached) == 2
    assert "python jobs/embed_text.py" in capsys.readouterr().err

    assert embed_text.main(argv) == 0
    assert "embedded 2/2 shards" in capsys.readouterr().out
    assert embed_text.main(argv) == 0
    assert "2 of 2 shards are embedded already" in capsys.readouterr().out

    assert train.main(cached) == 0
    printed = capsys.readouterr().out
    assert train.main([*argv, "run.name=computed"]) == 0
    assert losses(tracking, "cached") == pytest.approx(losses(tracking, "computed"), abs=1e-6)
    scores = [line.partition("val")[2] for line in printed.splitlines() if "zero-shot" in line]
    assert scores == [line.partition("val")[2] for line in capsys.readouterr().out.splitlines() if "zero-shot" in line]

    config = load_config(TrainConfig, None, cached)
    model, fingerprint = starting_model(config, with_language=False)
    assert not [name for name, _ in model.named_parameters() if name.startswith("language")]
    check_embeddings(config, fingerprint)


def check_embeddings(config: TrainConfig, fingerprint: str | None) -> None:
    """Every text has the embedding its encoder gives; one that is not there, or changed, is named."""
    index = read_split(open_storage(config.data.root), "depth", "val")
    (key,) = index.storage.children(FOLDER)
    cache = open_cache(index, key)
    assert cache is not None
    assert cache.record.base_fingerprint == fingerprint
    encoder, text, _ = load_language_encoder(config.model)
    encode = text_encoder(encoder, Tokenizer(text.vocab_size, text.context_length), torch.device("cpu"))
    known = KnownTexts(cache, range(len(index)))
    for number in range(0, len(index), 5):
        texts = all_texts(read_metadata(index, number).texts)
        assert set(cache.read_sample(number)) == {text_digest(text) for text in texts}
        torch.testing.assert_close(known(texts), encode(texts), atol=1e-6, rtol=0)
        for place, one in enumerate(texts):
            torch.testing.assert_close(
                torch.tensor(cache.read(number, place, one)), encode([one])[0], atol=1e-6, rtol=0
            )
    with pytest.raises(ConfigError, match="no embedding of 'never embedded'"):
        known(["never embedded"])
    with pytest.raises(DataError, match="no embedding of 'another text'"):
        cache.read(0, 0, "another text")
