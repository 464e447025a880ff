"""`raybind embed`: files and texts to Parquet; bad files are listed and cost nothing else."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import raybind
from raybind.app import export
from raybind.app.main import main
from raybind.config.data import PreprocessConfig
from raybind.config.model import BaseConfig, ModelConfig
from raybind.model.bound import build_model
from raybind.model.layouts import read_encoder, write_encoder
from raybind.model.trained import TrainedEncoder


@pytest.fixture(scope="module")
def exported(base_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ModelConfig(base=BaseConfig(architecture="ViT-Tiny-14", weights=str(base_weights)), tuning="full")
    model, _ = build_model(config, seed=0)
    state = {name: value.detach() for name, value in model.state_dict().items()}
    folder = tmp_path_factory.mktemp("exports") / "image"
    write_encoder(TrainedEncoder("image", model.arch, None, state, PreprocessConfig()), "raybind", folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.JPEG", "more/c.jpg", "d.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (120, 130, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def read(path: Path) -> dict[tuple[str, str], np.ndarray]:
    return {(row["modality"], row["id"]): np.float32(row["embedding"]) for row in pq.read_table(path).to_pylist()}


def test_files_folders_patterns_and_texts(exported: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a dog\n\na cat\n")
    output = tmp_path / "new" / "out.parquet"
    arguments = [f"model={exported}", f"output={output}", "device=cpu", "batch_size=2"]
    arguments += [
        f"media.image=[{pictures}/*.png, {pictures}]",
        "texts=[a chair]",
        f"text_file={tmp_path}/captions.txt",
    ]
    assert main(["embed", *arguments]) == 0
    found = read(output)
    files = [str(pictures / name) for name in ("a.png", "d.png", "b.JPEG", "more/c.jpg")]
    assert list(found) == [("image", file) for file in files] + [("text", t) for t in ("a chair", "a dog", "a cat")]
    assert str(pq.read_schema(output).field("embedding").type) == "list<element: float>"
    expected = raybind.LanguageBind.from_pretrained(exported, device="cpu").embed(image=files, text=["a dog"])
    np.testing.assert_allclose([found["image", file] for file in files], expected["image"], atol=1e-6)
    np.testing.assert_allclose(found["text", "a dog"], expected["text"][0], atol=1e-6)


def test_a_bad_file_is_listed_and_the_others_are_kept(
    exported: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "b.JPEG").write_bytes(b"<html>")
    (pictures / "d.png").write_bytes((pictures / "d.png").read_bytes()[:500])
    output = tmp_path / "out.parquet"
    arguments = [f"model.image={exported}", f"media.image={pictures}", f"output={output}", "device=cpu"]
    assert main(["embed", *arguments]) == 1
    assert {Path(item).name for _, item in read(output)} == {"a.png", "c.jpg"}
    message = capsys.readouterr().err
    assert "2 of 4 items could not be embedded" in message
    assert f"{pictures}/b.JPEG: " in message
    assert f"{pictures}/d.png: " in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["media.image=absent/*.png"], "media.image: 'absent/*.png' holds no file"),
        (["media.smell=[a.png]"], "'smell' is not a modality"),
        ([], "nothing to embed"),
        (["texts=[a]", "output=out.csv"], "must end in .parquet"),
        (["text_file=absent.txt"], "'absent.txt' is not a file"),
        (["texts=[a]", "model=/absent"], "neither a local path nor the id"),
    ],
)
def test_a_wrong_configuration_is_explained_with_exit_code_2(
    arguments: list[str],
    message: str,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["embed", f"model={exported}", "output=out.parquet", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    assert "embed" in capsys.readouterr().out
    assert main(["embde"]) == 2
    assert "'embde' is not a command" in capsys.readouterr().err


def test_an_export_is_converted(exported: Path, tmp_path: Path) -> None:
    """Runs and their checkpoints as the source: tests/integration."""
    output = tmp_path / "clip"
    assert export.main([f"checkpoint={exported}", "format=hugging_face", f"output={output}"]) == 0
    assert read_encoder(output).modality == "image"
    assert export.main([f"checkpoint={exported}", "format=hugging_face", f"output={output}"]) == 2
    assert export.main([f"checkpoint={tmp_path}/absent", f"output={tmp_path}/new"]) == 2
