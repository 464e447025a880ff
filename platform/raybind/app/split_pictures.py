"""Pictures of an evaluation on a split, by file name."""

from collections.abc import Mapping, Sequence

import torch

from raybind.app.gallery import Asked, Gallery, retrieval_png
from raybind.evaluation.items import EmbeddedItems, EncodeTexts
from raybind.evaluation.pictures import confusion_png, similarity_png
from raybind.evaluation.prompts import class_embeddings
from raybind.evaluation.report import EvaluationResult
from raybind.evaluation.retrieval import RetrievalResult, gather_captions
from raybind.evaluation.retrieval_sheet import Shown
from raybind.evaluation.space_picture import space_png
from raybind.evaluation.zero_shot import ClassificationResult


def split_pictures(
    result: EvaluationResult,
    embedded: EmbeddedItems,
    encode_texts: EncodeTexts,
    templates: Sequence[str],
    gallery: Gallery,
) -> dict[str, bytes]:
    """Confusion and similarity of classes, and hits of captions."""
    pictures = {}
    where = f"{result.modality}, {result.split}"
    if result.classification is not None:
        title = f"{where}: zero-shot by {result.label_set}"
        pictures["confusion.png"] = confusion_png(result.classification, title)
        pictures["similarity.png"] = _similarity_png(result.classification, embedded, encode_texts, templates, title)
    if result.retrieval is not None:
        pictures["hits.png"] = _hits_png(result.retrieval, result.modality, embedded, encode_texts, gallery, where)
    return pictures


def shared_space_png(embedded: Mapping[str, EmbeddedItems], encode_texts: EncodeTexts, split: str) -> bytes:
    """All modalities and their captions."""
    texts = gather_captions([item.captions for one in embedded.values() for item in one.items if item.captions]).texts
    points = {name: one.embeddings for name, one in embedded.items()}
    return space_png(points | ({"text": encode_texts(texts)} if texts else {}), f"shared space, {split} split")


def _similarity_png(
    found: ClassificationResult,
    embedded: EmbeddedItems,
    encode_texts: EncodeTexts,
    templates: Sequence[str],
    title: str,
) -> bytes:
    classes = class_embeddings(found.class_names, templates, encode_texts)
    return similarity_png(embedded.embeddings, classes, torch.from_numpy(found.labels), found.class_names, title)


def _hits_png(
    found: RetrievalResult,
    modality: str,
    embedded: EmbeddedItems,
    encode_texts: EncodeTexts,
    gallery: Gallery,
    where: str,
) -> bytes:
    captions = gather_captions([item.captions for item in embedded.items])
    right = set(map(tuple, captions.pairs.tolist()))
    asked = Asked(
        encode_texts(captions.texts),
        embedded.embeddings,
        found.text_to_item.ranking.ranks,
        lambda query, item: (query, item) in right,
        lambda query: Shown(captions.texts[query], None),
        lambda item: gallery.show(modality, embedded.items[item]),
    )
    return retrieval_png(asked, f"{where}: text -> {modality}", "text", modality)
