"""`raybind.LanguageBind`: media and texts to unit vectors in one space.

    model = raybind.LanguageBind.from_pretrained({"depth": "exports/depth", "audio": "LanguageBind/LanguageBind_Audio"})
    found = model.embed(depth=["room.png"], audio=["dog.wav"], text=["a bedroom", "a dog barks"])
    model.similarity(found["depth"], found["text"])

Legend: B batch, N items, L tokens of a text, E embedding_dim.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from raybind.errors import ConfigError, DataError
from raybind.inference.media import Media, MediaReader
from raybind.modalities import get_modality
from raybind.model.languagebind import join
from raybind.model.layouts import read_encoder
from raybind.model.tokenizer import Tokenizer
from raybind.model.trained import TrainedEncoder

Source = str | os.PathLike[str]
"""Local directory, local `epoch_N.pt`, or hub id."""

_HUB_FILES = ("*.json", "*.safetensors", "pytorch_model.bin")


class LanguageBind:
    """Trained encoders of one or several modalities and their language encoder, ready to embed."""

    def __init__(self, encoders: Sequence[TrainedEncoder], device: str | torch.device) -> None:
        """Join encoders; `from_pretrained` reads them.

        Raises: ConfigError: they are not in one space, or there is no such device.
        """
        model = join(encoders)
        try:
            self.device = torch.device(device)
            self._model = model.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device={str(device)!r} cannot be used: {error}") from None
        self._readers = {
            encoder.modality: MediaReader(get_modality(encoder.modality), encoder.arch.vision.input, encoder.preprocess)
            for encoder in encoders
        }
        self._text = encoders[0].arch.text

    @classmethod
    def from_pretrained(
        cls, source: Source | Mapping[str, Source], *, device: str | torch.device | None = None
    ) -> Self:
        """Load one encoder, or several that share their language encoder.

        Args:
            source: a directory written by `jobs/export.py`, an official LanguageBind directory, a Hugging Face CLIP
                directory, or the id of one on the Hugging Face hub; or modality -> such a source, where an
                `epoch_N.pt` of the official training, with its `config.json` beside it, will do too.
            device: None takes a GPU where there is one.
        Raises: ConfigError: a source cannot be read or does not hold what it says, or they are not in one space.
        """
        if isinstance(source, Mapping):
            encoders = [read_encoder(_local(place), modality) for modality, place in source.items()]
        else:
            encoders = [read_encoder(_local(source))]
        if not encoders:
            raise ConfigError("no encoder is named; give a path, or modality -> path")
        return cls(encoders, device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it embeds beside text."""
        return self._model.modalities

    def embed(
        self, *, text: Sequence[str] | None = None, batch_size: int = 32, **media: Sequence[Media]
    ) -> dict[str, Tensor]:
        """Embed media and texts.

        Args:
            text: what is said; longer texts than the language encoder reads are cut.
            batch_size: items encoded at once; changes nothing but speed and memory.
            media: by modality (`depth=[...]`), each a path, a file's bytes, or an array: pictures (H, W) or (H, W, C),
                depth (H, W) in millimetres, clips (frames, H, W, 3), sounds (samples,) or (channels, samples) in
                [-1, 1] at the sample rate of the preprocessing (16 kHz).
        Returns: "text" and each modality given: (N, E) unit vectors, float32, on the CPU.
        Raises:
            ConfigError: a modality without encoder, or one item where a list belongs.
            DataError: an item cannot be read or decoded; names it.
        """
        for name, items in {"text": text, **media}.items():
            if isinstance(items, str | bytes | os.PathLike | np.ndarray):
                raise ConfigError(f"{name} takes a list of items, and got a single {type(items).__name__}: [{name}]")
        embedded = {modality: self._embed_all(modality, items, batch_size) for modality, items in media.items()}
        return embedded if text is None else {"text": self.embed_text(text, batch_size), **embedded}

    def embed_each(
        self, modality: str, media: Iterable[Media], batch_size: int = 32
    ) -> Iterator[list[np.ndarray | DataError]]:
        """Embed media without end or with bad files among them; memory is bounded by the batch.

        Yields: a batch of embeddings after the other, (E,) float32 per item, in order; an item that cannot be read has
            its error instead, which names it.
        Raises: ConfigError: there is no encoder of that modality.
        """
        self._model.check_modality(modality)
        for batch in self._readers[modality].batches(media, batch_size):
            pixel_values = [item for item in batch if isinstance(item, np.ndarray)]
            embeddings = iter(self._encode_arrays(modality, pixel_values)) if pixel_values else iter(())
            yield [item if isinstance(item, DataError) else next(embeddings) for item in batch]

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str], batch_size: int = 32) -> Tensor:
        """(N, E) unit vectors of texts, float32, on the CPU. Raises: ConfigError: the vocabulary is not CLIP's."""
        tokenizer = Tokenizer(self._text.vocab_size, self._text.context_length)
        batches = (texts[first : first + batch_size] for first in range(0, len(texts), batch_size))
        embedded = [self.encode_text(torch.from_numpy(tokenizer(batch))).cpu() for batch in batches]
        return torch.cat(embedded) if embedded else self._nothing()

    @torch.inference_mode()
    def encode(self, modality: str, pixel_values: Tensor) -> Tensor:
        """(B, E) unit vectors of transformed media, on the model's device; see `LanguageBindModel.encode`."""
        return self._model.encode(modality, pixel_values.to(self.device))

    @torch.inference_mode()
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """(B, E) unit vectors of token ids, on the model's device; see `LanguageBindModel.encode_text`."""
        mask = None if attention_mask is None else attention_mask.to(self.device)
        return self._model.encode_text(input_ids.to(self.device), mask)

    @staticmethod
    def similarity(a: Tensor, b: Tensor) -> Tensor:
        """Cosines of two sets of embeddings. Args: (N, E) and (M, E) unit vectors. Returns: (N, M) in [-1, 1]."""
        return a @ b.T

    def _embed_all(self, modality: str, media: Iterable[Media], batch_size: int) -> Tensor:
        embedded: list[np.ndarray] = []
        for batch in self.embed_each(modality, media, batch_size):
            for item in batch:
                if isinstance(item, DataError):
                    raise item
                embedded.append(item)
        return torch.from_numpy(np.stack(embedded)) if embedded else self._nothing()

    def _encode_arrays(self, modality: str, pixel_values: Sequence[np.ndarray]) -> np.ndarray:
        return self.encode(modality, torch.from_numpy(np.stack(pixel_values))).cpu().numpy()

    def _nothing(self) -> Tensor:
        return torch.empty(0, self._model.language.text_projection.out_features)


def _local(source: Source) -> Path:
    """The local directory or file; a hub id is downloaded first."""
    path = Path(source)
    if path.exists():
        return path
    try:
        return Path(snapshot_download(os.fspath(source), allow_patterns=list(_HUB_FILES)))
    except HFValidationError:
        raise ConfigError(f"{os.fspath(source)!r} is neither a local path nor the id of a model on the hub") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ConfigError(
            f"{os.fspath(source)!r} is no local path, and the Hugging Face hub did not give it: {error}"
        ) from None
