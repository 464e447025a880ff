"""Checkpoint directories in and out: our own layout, the official LanguageBind layout, Hugging Face CLIP.

    raybind         model.safetensors under our names, LoRA beside the weights
    languagebind    what the official classes load
    hugging_face    what transformers' CLIPModel loads, LoRA merged; encoders of single square images only

Whatever the layout, a directory that this package wrote has `raybind.json` (modality, sizes, preprocessing, prompts,
provenance) and, where the vocabulary is CLIP's, the tokenizer's files; an image encoder for Hugging Face also has
transformers' own `preprocessor_config.json`, which has no words for millimetres or radiometric counts. A directory
without `raybind.json` is read by its `config.json`.
"""

import json
from pathlib import Path

from raybind.config.data import PreprocessConfig
from raybind.config.model import LoraConfig
from raybind.errors import ConfigError
from raybind.model.architecture import ClipArchitecture
from raybind.model.bound import default_targets
from raybind.model.hugging_face import (
    CONFIG_FILE,
    IGNORED,
    Json,
    clip_config,
    from_clip,
    image_processor_config,
    is_clip,
    read_config,
    read_sizes,
    to_clip,
)
from raybind.model.official import (
    MODEL_TYPES,
    adapted_endings,
    from_official,
    is_official,
    lora_of,
    official_config,
    official_preprocessing,
    plain_names,
    read_official_sizes,
    settings_of,
    to_official,
)
from raybind.model.record import RECORD_FILE, Layout, Record, read_record, write_record
from raybind.model.start import check_fit
from raybind.model.tokenizer import is_clip_vocabulary
from raybind.model.tokenizer_files import write_tokenizer
from raybind.model.trained import TrainedEncoder, empty_model
from raybind.model.weights_file import SAFETENSORS, State, read_folder, read_tensors, read_torch, write_tensors


def read_encoder(path: Path, modality: str | None = None) -> TrainedEncoder:
    """Read a directory of any layout, or an `epoch_N.pt` of the official training.

    Args:
        modality: what it must be; needed for `epoch_N.pt`; None: what the directory says, image for a plain CLIP.
    Raises: ConfigError: not such a directory, of another modality, or tensors missing or unexpected.
    """
    if path.is_file():
        if modality is None:
            raise ConfigError(f"{path} does not say what it encodes; give it as {{modality: path}}")
        return read_epoch(path, modality)
    if (path / RECORD_FILE).is_file():
        trained = _read_recorded(path)
    elif (path / CONFIG_FILE).is_file():
        trained = _read_by_config(path, modality)
    else:
        raise ConfigError(
            f"{path} has neither {RECORD_FILE} nor {CONFIG_FILE}; a training run becomes such a directory by "
            f"`python jobs/export.py checkpoint={path} format=raybind output=...`"
        )
    if modality not in (None, trained.modality):
        raise ConfigError(f"{path} encodes {trained.modality}, and is given for {modality}")
    return trained


def write_encoder(trained: TrainedEncoder, layout: Layout, folder: Path) -> None:
    """Write a directory; `raybind.json` comes last.

    Args:
        folder: empty or not there yet.
    Raises: ConfigError: the layout cannot hold such an encoder; or there is something in the folder.
    """
    check_layout(trained.modality, trained.arch, layout)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"output={str(folder)!r} is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    trained = _as_stored(trained, layout)
    if layout == "raybind":
        write_tensors(trained.state, folder / SAFETENSORS)
    elif layout == "languagebind":
        config = official_config(trained.modality, trained.arch, trained.lora, trained.preprocess)
        _write_json(folder / CONFIG_FILE, config)
        write_tensors(to_official(trained.state), folder / SAFETENSORS)
    else:
        _write_json(folder / CONFIG_FILE, clip_config(trained.arch))
        write_tensors(to_clip(trained.state), folder / SAFETENSORS)
        if trained.modality == "image":
            processor = image_processor_config(trained.arch.vision.input, trained.preprocess)
            _write_json(folder / "preprocessor_config.json", processor)
    text = trained.arch.text
    if is_clip_vocabulary(text.vocab_size):
        write_tokenizer(folder, text.vocab_size, text.context_length)
    record = Record(
        layout=layout,
        modality=trained.modality,
        architecture=trained.arch,
        lora=trained.lora,
        preprocess=trained.preprocess,
        prompts=trained.prompts,
        provenance=dict(trained.provenance),
    )
    write_record(record, folder)


def check_layout(modality: str, arch: ClipArchitecture, layout: Layout) -> None:
    """Raises: ConfigError: the layout cannot hold such an encoder."""
    shape, temporal = arch.vision.input, arch.vision.temporal_attention
    if layout == "hugging_face" and (shape.num_frames is not None or shape.height != shape.width):
        raise ConfigError(
            f"the {modality} encoder takes inputs of shape {shape.array}, and Hugging Face's CLIP encodes single "
            "square images; export it with format=languagebind or format=raybind"
        )
    if layout == "languagebind" and modality not in MODEL_TYPES.values():
        raise ConfigError(
            f"LanguageBind has no modality {modality!r}, only {', '.join(MODEL_TYPES.values())}; export it with "
            "format=raybind"
        )
    if layout == "languagebind" and shape.num_frames is not None and not temporal:
        raise ConfigError(
            "the official video class cannot do without temporal attention, and this encoder has none "
            "(model.temporal_attention=False); export it with format=raybind"
        )


def read_epoch(path: Path, modality: str) -> TrainedEncoder:
    """A checkpoint of the official training, `epoch_N.pt`, with a `config.json` beside it.

    It holds tensors only. Its `config.json` is that of the CLIP model it started from, or of an official directory; for
    audio, `vision_config` must have `num_mel_bins` and `target_length`. Temporal attention, frames, LoRA's rank and
    targets are read off the tensors; LoRA's alpha is the configuration's, else 16, the official default.

    Raises: ConfigError: a file cannot be read, or a tensor is missing or unexpected.
    """
    saved = read_torch(path)
    if not isinstance(saved.get("state_dict"), dict):
        raise ConfigError(f"{path} has no state_dict: it is not a checkpoint of the official training")
    source = {name.removeprefix("module."): value for name, value in saved["state_dict"].items()}
    config = read_config(path.parent)
    config["vision_config"] |= settings_of(source)
    arch = read_official_sizes(config, path.parent)
    lora = lora_of(config["vision_config"], adapted_endings(source))
    provenance = {"source": str(path), "epoch": str(saved.get("epoch")), "run": str(saved.get("name"))}
    return TrainedEncoder(
        modality=modality,
        arch=arch,
        lora=lora,
        state=_read_official_state(source, arch, lora, path),
        preprocess=official_preprocessing(modality, arch, config["vision_config"]),
        provenance=provenance,
    )


def _read_recorded(folder: Path) -> TrainedEncoder:
    record = read_record(folder)
    if record.layout == "raybind":
        state = read_tensors(folder / SAFETENSORS)
        check_fit(state, empty_model(record.architecture, record.lora).state_dict(), f"weights in {folder}")
    elif record.layout == "languagebind":
        state = _read_official_state(read_folder(folder), record.architecture, record.lora, folder)
    else:
        state = _read_clip_state(folder, record.architecture)
    return TrainedEncoder(
        modality=record.modality,
        arch=record.architecture,
        lora=record.lora,
        state=state,
        preprocess=record.preprocess,
        prompts=record.prompts,
        provenance=record.provenance,
    )


def _read_by_config(folder: Path, modality: str | None) -> TrainedEncoder:
    config = read_config(folder)
    provenance = {"source": str(folder)}
    if is_clip(config):
        arch = read_sizes(config, folder)
        state = _read_clip_state(folder, arch)
        return TrainedEncoder(modality or "image", arch, None, state, PreprocessConfig(), provenance=provenance)
    if not is_official(config):
        raise ConfigError(
            f"{folder / CONFIG_FILE}: model_type is {config.get('model_type')!r}; it can be clip, "
            f"{', '.join(MODEL_TYPES)}"
        )
    arch, vision = read_official_sizes(config, folder), config["vision_config"]
    lora, modality = lora_of(vision, default_targets(arch)), MODEL_TYPES[config["model_type"]]
    state = _read_official_state(read_folder(folder), arch, lora, folder)
    preprocess = official_preprocessing(modality, arch, vision)
    return TrainedEncoder(modality, arch, lora, state, preprocess, provenance=provenance)


def _read_clip_state(folder: Path, arch: ClipArchitecture) -> State:
    source = {name: value for name, value in read_folder(folder).items() if name not in IGNORED}
    check_fit(source, to_clip(empty_model(arch, None).state_dict()), f"weights in {folder}")
    return from_clip(source)


def _read_official_state(source: State, arch: ClipArchitecture, lora: LoraConfig | None, path: Path) -> State:
    """Compared in the official names, those of the file."""
    expected = plain_names(to_official(empty_model(arch, lora).state_dict()))
    check_fit(plain_names(source), expected, f"weights in {path}")
    return from_official(source)


def _as_stored(trained: TrainedEncoder, layout: Layout) -> TrainedEncoder:
    """With LoRA merged where the layout's classes do not build the same one.

    The official ones build it on the four projections of the temporal attention in video, of the attention over patches
    elsewhere.
    """
    if layout == "raybind" or trained.lora is None:
        return trained
    official = set(trained.lora.targets or ()) == set(default_targets(trained.arch))
    return trained if layout == "languagebind" and official else trained.merged()


def _write_json(path: Path, values: Json) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")
