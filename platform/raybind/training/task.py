"""The task that a configuration describes: which encoder looks at which input, and where it starts."""

from raybind.config.train import TrainConfig
from raybind.modalities import get_modality
from raybind.model.architecture import read_architecture
from raybind.model.bound import BoundModel, build_model
from raybind.model.input_shape import InputShape


def input_shape(config: TrainConfig) -> InputShape:
    """What the encoder of a configuration is fed. Raises: ConfigError: unknown modality or architecture."""
    image_size = read_architecture(config.model.base.architecture).vision.input.height
    return get_modality(config.data.modality).input_shape(image_size, config.data.preprocess)


def starting_model(config: TrainConfig, with_language: bool = True) -> tuple[BoundModel, str | None]:
    """The model before training and its base's fingerprint; see `build_model`."""
    return build_model(config.model, config.run.seed, input_shape(config), with_language)
