"""From embeddings to a result: zero-shot classification by prompts, and retrieval between items and captions."""

from collections.abc import Sequence

import torch

from raybind.errors import DataError
from raybind.evaluation.items import EmbeddedItems, EncodeTexts, choose_label_set
from raybind.evaluation.prompts import class_embeddings
from raybind.evaluation.report import EvaluationResult
from raybind.evaluation.retrieval import RetrievalResult, gather_captions, retrieve
from raybind.evaluation.zero_shot import ClassificationResult, classify


@torch.inference_mode()
def evaluate(
    embedded: EmbeddedItems,
    encode_texts: EncodeTexts,
    modality: str,
    split: str,
    label_set: str | None,
    templates: Sequence[str],
) -> EvaluationResult:
    """Score embedded items.

    Classes are the distinct labels of the items. Without labels there is no classification, without captions no
    retrieval.

    Args:
        label_set: see `choose_label_set`.
        templates: prompt templates with `{}` for the class name.
    Raises: DataError: some items have captions and others none; names one of those.
    """
    chosen = choose_label_set(embedded.items, modality, label_set)
    classification = _classify(embedded, encode_texts, chosen, templates) if chosen is not None else None
    return EvaluationResult(modality, split, chosen or "", classification, _retrieve(embedded, encode_texts))


def _classify(
    embedded: EmbeddedItems, encode_texts: EncodeTexts, label_set: str, templates: Sequence[str]
) -> ClassificationResult:
    names = sorted({item.labels[label_set] for item in embedded.items})
    labels = torch.tensor([names.index(item.labels[label_set]) for item in embedded.items])
    return classify(embedded.embeddings, class_embeddings(names, templates, encode_texts), labels, names)


def _retrieve(embedded: EmbeddedItems, encode_texts: EncodeTexts) -> RetrievalResult | None:
    mute = [item.id for item in embedded.items if not item.captions]
    if len(mute) == len(embedded.items):
        return None
    if mute:
        raise DataError(f"{len(mute)} items have no text of the chosen view, the first is {mute[0]}; choose another")
    captions = gather_captions([item.captions for item in embedded.items])
    return retrieve(embedded.embeddings, encode_texts(captions.texts), captions.pairs)
