"""A pretrained base as one weights file in open_clip's layout: what other runs name as `model.base.weights`."""

import hashlib
from pathlib import Path

from raybind import __version__
from raybind.app.cli import run_job
from raybind.app.console import console
from raybind.app.evaluate import find_checkpoint
from raybind.config.export_base import ExportBaseConfig
from raybind.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    """Entry point of `jobs/export_base.py`. Returns: the exit code."""
    return run_job("Export a pretrained base to open_clip's layout.", ExportBaseConfig, run, check, argv)


def check(config: ExportBaseConfig) -> None:
    """Raises: ConfigError: no checkpoint, or an output that is not a safetensors file."""
    find_checkpoint(config.checkpoint)
    if not config.output.endswith(".safetensors"):
        raise ConfigError(f"output={config.output!r} must end in .safetensors")


def run(config: ExportBaseConfig) -> None:
    """Write the file, with seed and provenance in its header. Raises: ConfigError: the checkpoint is no base."""
    # torch takes seconds to import, which `--check` must not wait for.
    from safetensors.torch import save_file

    from raybind.model.base import to_open_clip
    from raybind.training.checkpoint import load_model

    model, state = load_model(find_checkpoint(config.checkpoint))
    trained = state.config
    if not trained.model.train_language:
        raise ConfigError(f"checkpoint={config.checkpoint!r} trained no language encoder (model.train_language=False)")
    weights = {name: value.half().contiguous() for name, value in to_open_clip(model.state_dict()).items()}
    metadata = {
        "architecture": trained.model.base.architecture,
        "run": trained.run.name,
        "seed": str(trained.run.seed),
        "steps": str(state.step),
        "raybind": __version__,
    }
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, output, metadata)
    raw = output.read_bytes()
    console.print(f"{output}: {len(raw) / 1e6:.1f} MB, SHA-256 {hashlib.sha256(raw).hexdigest()}")
