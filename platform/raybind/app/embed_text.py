"""The text embedding job: the frozen language encoder runs once over all texts of a data set."""

from raybind.app.cli import run_job
from raybind.app.train import with_absolute_paths
from raybind.config.train import TrainConfig
from raybind.data.manifest import read_manifest
from raybind.data.storage import open_storage
from raybind.integrations.object_store import check_location
from raybind.modalities import check_modality
from raybind.model.architecture import read_architecture

EXAMPLES = """Takes the arguments of the training that is to use the embeddings, and looks at its data, base, validation
prompts and cluster. A job that was stopped goes on where it was.

examples:
  python jobs/embed_text.py --config jobs/presets/depth.yaml data.root=s3://vidal
  python jobs/train.py --config jobs/presets/depth.yaml data.root=s3://vidal data.text_embeddings=cached"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/embed_text.py`. Returns: the exit code."""
    return run_job("Embed all texts of a data set once.", TrainConfig, run, check, argv, EXAMPLES)


def check(config: TrainConfig) -> None:
    """Raises: ConfigError: no such data, modality or architecture."""
    check_modality(config.data.modality)
    read_architecture(config.model.base.architecture)
    check_location("data.root", config.data.root)
    read_manifest(open_storage(config.data.root), config.data.modality)


def run(config: TrainConfig) -> None:
    """Embed what is not embedded yet. Raises: RayBindError: a shard could not be read."""
    # Ray and the base take seconds to load, which `--check` must not wait for.
    from raybind.app.embed_text_run import run as run_checked

    run_checked(with_absolute_paths(config))
