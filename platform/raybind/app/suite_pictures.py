"""Pictures of benchmark results, by file name."""

from collections.abc import Mapping, Sequence

import torch

from raybind.app.gallery import Asked, Gallery, retrieval_png
from raybind.config.benchmark import TEXT
from raybind.evaluation.benchmark import TaskResult
from raybind.evaluation.items import EmbeddedItems, Item
from raybind.evaluation.paper_tables import BenchmarkResult, task_name
from raybind.evaluation.pictures import confusion_png, similarity_png
from raybind.evaluation.retrieval import RetrievalResult
from raybind.evaluation.retrieval_sheet import Shown
from raybind.evaluation.space_picture import space_png
from raybind.evaluation.zero_shot import ClassificationResult


def suite_pictures(
    result: BenchmarkResult, embedded: Mapping[str, EmbeddedItems], gallery: Gallery
) -> dict[str, bytes]:
    """Confusion and similarity of classes, hits of retrievals, and the space of all modalities together."""
    config = result.benchmark.config
    pictures = {}
    for found in result.tasks:
        stem, title = f"{config.name}-{task_name(found.task)}", f"{config.title}: {' + '.join(found.task.items)}"
        if isinstance(found.found, ClassificationResult):
            pictures[f"{stem}-confusion.png"] = confusion_png(found.found, title)
            labels = torch.from_numpy(found.found.labels)
            names = found.found.class_names
            pictures[f"{stem}-similarity.png"] = similarity_png(found.items, found.asked, labels, names, title)
        if isinstance(found.found, RetrievalResult):
            pictures[f"{stem}-hits.png"] = _hits_png(found, found.found, embedded, gallery, config.title)
    pictures[f"{config.name}-space.png"] = space_png(
        {name: one.embeddings for name, one in embedded.items()} | _text_points(result),
        f"{config.title}: shared space",
        result.benchmark.class_names,
    )
    return pictures


def _hits_png(
    found: TaskResult,
    retrieval: RetrievalResult,
    embedded: Mapping[str, EmbeddedItems],
    gallery: Gallery,
    title: str,
) -> bytes:
    task, item_of_query = found.task, found.item_of_query
    assert item_of_query is not None
    items = _by_id(embedded[task.items[0]].items, found.ids)
    media = next((name for name in task.queries if name != TEXT), None)

    def show_query(number: int) -> Shown:
        if found.texts is not None:
            return Shown(found.texts[number], None)
        assert media is not None
        return gallery.show(media, items[int(item_of_query[number])])

    asked = Asked(
        found.asked,
        found.items,
        retrieval.text_to_item.ranking.ranks,
        lambda query, item: int(item_of_query[query]) == item,
        show_query,
        lambda number: gallery.show(task.items[0], items[number]),
    )
    queries, sought = " + ".join(task.queries), " + ".join(task.items)
    return retrieval_png(asked, f"{title}: {queries} -> {sought}", queries, sought)


def _text_points(result: BenchmarkResult) -> dict[str, torch.Tensor]:
    """The classes or, where there are none, the captions."""
    classes = [found.asked for found in result.tasks if found.task.kind != "retrieval"]
    texts = [found.asked for found in result.tasks if found.texts is not None]
    return {TEXT: (classes or texts)[0]} if classes or texts else {}


def _by_id(items: Sequence[Item], ids: Sequence[str]) -> list[Item]:
    by_id = {item.id: item for item in items}
    return [by_id[name] for name in ids]
