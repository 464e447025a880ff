"""A checkpoint of a run as a trained encoder that stands alone."""

from dataclasses import replace

from raybind.config.train import TrainConfig
from raybind.data.storage import Storage
from raybind.modalities import get_modality
from raybind.model.bound import BoundModel, default_targets
from raybind.model.prompts import modality_templates
from raybind.model.trained import TrainedEncoder
from raybind.training.checkpoint import load_model


def trained_encoder(storage: Storage, version: str) -> TrainedEncoder:
    """Load a checkpoint with the base it was trained on.

    Args:
        version: of this package, for the record.
    Raises: as `load_model`.
    """
    model, state = load_model(storage)
    provenance = {
        "run": state.config.run.name,
        "step": str(state.step),
        "base_architecture": state.config.model.base.architecture,
        "base_weights": str(state.config.model.base.weights),
        "base_fingerprint": str(state.base_fingerprint),
        "raybind": version,
    }
    return replace(as_trained(model, state.config), provenance=provenance)


def as_trained(model: BoundModel, config: TrainConfig) -> TrainedEncoder:
    """The model of a configuration as plain values; it shares the tensors."""
    lora = None
    if config.model.tuning == "lora":
        targets = config.model.lora.targets or default_targets(model.arch)
        lora = config.model.lora.model_copy(update={"targets": targets})
    return TrainedEncoder(
        modality=config.data.modality,
        arch=model.arch,
        lora=lora,
        state={name: value.detach() for name, value in model.state_dict().items()},
        preprocess=config.data.preprocess,
        prompts=modality_templates(get_modality(config.data.modality).photo_words),
    )
