"""A checkpoint: what trained, what the optimizer knows, where the run stands, and how it was configured.

    parameters.safetensors     trainable parameters, float32; the frozen rest is the base, named by its fingerprint
    optimizer.safetensors      exp_avg.<name>, exp_avg_sq.<name>, float32
    rng-00000.safetensors      generator state of torch per rank
    state.json                 `CheckpointState`

It loads on any number of ranks and at any ZeRO stage. No pickle.
"""

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

from raybind.config.train import TrainConfig
from raybind.data.faults import FaultCounts
from raybind.data.order import Cursor
from raybind.data.storage import Storage
from raybind.errors import ConfigError, DataError
from raybind.model.bound import BoundModel, trainable_parameters
from raybind.training.state import LossScaling, OptimizerState
from raybind.training.task import starting_model

FORMAT_VERSION = 2


class CheckpointState(BaseModel):
    """`state.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: int = FORMAT_VERSION
    step: int
    cursor: Cursor
    optimizer_steps: int
    loss_scaling: LossScaling | None = None
    base_fingerprint: str | None
    data_digest: str
    """Of the data that the cursor is a place in (`SplitIndex.digest`)."""
    faults: FaultCounts
    """Samples that could not be read so far, on all ranks."""
    config: TrainConfig


def write_checkpoint(
    folder: Path, state: CheckpointState, parameters: dict[str, Tensor], optimizer: OptimizerState
) -> None:
    """Write everything but the generators; one rank does it."""
    save_file(parameters, folder / "parameters.safetensors")
    moments = {f"exp_avg.{name}": value for name, value in optimizer.exp_avg.items()}
    moments |= {f"exp_avg_sq.{name}": value for name, value in optimizer.exp_avg_sq.items()}
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "state.json").write_text(state.model_dump_json(indent=1))


def write_generator(folder: Path, rank: int) -> None:
    """Write the state of this rank's torch generator; every rank does it."""
    save_file({"torch": torch.get_rng_state()}, folder / _generator_file(rank))


def restore_generator(folder: Path, rank: int) -> None:
    """Continue this rank's torch generator; a rank that was not there before keeps its fresh one."""
    path = folder / _generator_file(rank)
    if path.exists():
        torch.set_rng_state(load_file(path)["torch"])


def read_state(raw: bytes) -> CheckpointState:
    """Parse `state.json`. Raises: ConfigError: another format version."""
    state = CheckpointState.model_validate_json(raw)
    if state.format_version != FORMAT_VERSION:
        raise ConfigError(
            f"the checkpoint has format version {state.format_version}, this release reads {FORMAT_VERSION}"
        )
    return state


def read_parameters(folder: Path) -> dict[str, Tensor]:
    """The trained values of a checkpoint, by name."""
    return load_file(folder / "parameters.safetensors")


def read_optimizer(folder: Path, state: CheckpointState) -> OptimizerState:
    """The optimizer's part of a checkpoint."""
    moments = load_file(folder / "optimizer.safetensors")

    def named(kind: str) -> dict[str, Tensor]:
        return {name.removeprefix(f"{kind}."): value for name, value in moments.items() if name.startswith(f"{kind}.")}

    return OptimizerState(state.optimizer_steps, named("exp_avg"), named("exp_avg_sq"), state.loss_scaling)


def load_parameters(model: nn.Module, parameters: dict[str, Tensor]) -> None:
    """Put trained values into a model built by the same configuration.

    Raises: DataError: the names are not exactly those of the parameters that train; lists the difference.
    """
    own = trainable_parameters(model)
    if own.keys() != parameters.keys():
        missing, unexpected = sorted(own.keys() - parameters.keys()), sorted(parameters.keys() - own.keys())
        raise DataError(f"checkpoint does not fit the model: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(parameters[name])


def load_model(storage: Storage) -> tuple[BoundModel, CheckpointState]:
    """The trained model of a checkpoint folder, local or in a bucket, on the CPU in evaluation mode.

    Raises:
        ConfigError: no checkpoint there, or its base cannot be found.
        DataError: the base found is not the one the checkpoint was trained on.
    """
    try:
        state = read_state(storage.read("state.json"))
    except FileNotFoundError:
        raise ConfigError(f"no checkpoint at {storage.root}: it has no state.json") from None
    model, base_fingerprint = starting_model(state.config)
    check_base(state, base_fingerprint)
    load_parameters(model, load(storage.read("parameters.safetensors")))
    return model.eval(), state


def check_base(state: CheckpointState, base_fingerprint: str | None) -> None:
    """Raises: DataError: the base at hand is not the one the checkpoint belongs to."""
    if state.base_fingerprint != base_fingerprint:
        raise DataError(
            f"the checkpoint was trained on the base {state.base_fingerprint}, but "
            f"{state.config.model.base.weights!r} now is {base_fingerprint}"
        )


def check_data(state: CheckpointState, data_digest: str) -> None:
    """Raises: ConfigError: the cursor is a place in other data than those at hand."""
    if state.data_digest != data_digest:
        raise ConfigError(
            f"the run stands at step {state.step} of other data: {state.config.data.root!r} was packed again or "
            "data.skip_list has other content; choose another run.name, or bring the data back as they were"
        )


def _generator_file(rank: int) -> str:
    return f"rng-{rank:05d}.safetensors"
