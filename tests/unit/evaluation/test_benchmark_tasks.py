"""Tasks of a benchmark equal scikit-learn's metrics and plain loops, on made-up embeddings."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, top_k_accuracy_score
from torch import Tensor

from raybind.config.benchmark import Benchmark, BenchmarkConfig, Task, Views
from raybind.config.benchmark_source import Table, TableFormat
from raybind.config.data import DepthConfig, PreprocessConfig, VideoConfig
from raybind.errors import DataError
from raybind.evaluation.benchmark import TaskResult, fuse, run_task, views_of
from raybind.evaluation.items import EmbeddedItems, Item

DIM = 24
CLASSES = ("kitchen", "bedroom", "office", "book store", "living room", "bathroom", "classroom")
TEMPLATES = ("a photo of a {}.", "a {} in the dark.", "there is a {}, or nearly.")

Embedded = dict[str, EmbeddedItems]


def vector(text: str) -> np.ndarray:
    """A unit vector that the text alone decides."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(DIM)
    return drawn / np.linalg.norm(drawn)


def encode_texts(texts: Sequence[str]) -> Tensor:
    return torch.from_numpy(np.stack([vector(text) for text in texts])).float()


def class_vectors(names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> np.ndarray:
    return unit(np.stack([sum(vector(template.format(name)) for template in templates) for name in names]))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed(modality: str, items: Sequence[Item], noise: float = 1.0) -> EmbeddedItems:
    """Items with vectors that lean to their captions and classes, in an order of the modality's own."""
    items = sorted(items, key=lambda item: hashlib.sha256(f"{modality} {item.id}".encode()).digest())
    leaning = [
        sum(vector(text) for text in (*item.captions[:3], f"what {item.id} shows"))
        + sum(class_vectors([name])[0] for name in item.classes)
        + noise * vector(f"{modality} of {item.id}")
        for item in items
    ]
    return EmbeddedItems(tuple(items), torch.from_numpy(unit(np.stack(leaning))).float())


def embed_all(modalities: Sequence[str], items: Sequence[Item], noise: float = 1.0) -> Embedded:
    return {name: embed(name, items, noise) for name in modalities}


def labelled(number: int) -> list[Item]:
    """One class each, some of them often and some rarely."""
    classes = [CLASSES[min(place % 11, place % 7)] for place in range(number)]
    return [Item(f"picture {place}", (), {}, (name,)) for place, name in enumerate(classes)]


def captioned(counts: Sequence[int]) -> list[Item]:
    """So many captions each; the last of an item is also that of every fifth other."""
    return [
        Item(f"clip {place}", (*(f"view {n} of {place}" for n in range(1, count)), f"kind {place % 5}"), {})
        for place, count in enumerate(counts)
    ]


def run(
    task: Task,
    embedded: Mapping[str, EmbeddedItems],
    templates: tuple[str, ...] | None = TEMPLATES,
    encode: Callable[[Sequence[str]], Tensor] = encode_texts,
) -> TaskResult:
    config = BenchmarkConfig(
        name="rooms",
        title="Rooms",
        home="",
        licence="",
        layout="",
        source=TableFormat(kind="table", tables=(Table(file="rooms.csv", form="csv", id="{name}"),), media={}),
        templates=templates,
        tasks=(task,),
    )
    return run_task(task, Benchmark(config=config, class_names=CLASSES), embedded, encode)


def taking_part(result: TaskResult, embedded: Embedded) -> list[Item]:
    everyone = {item.id: item for there in embedded.values() for item in there.items}
    return [everyone[name] for name in result.ids]


def rows(there: EmbeddedItems, ids: Sequence[str]) -> np.ndarray:
    found = {item.id: row for item, row in zip(there.items, there.embeddings.double().numpy(), strict=True)}
    return np.stack([found[name] for name in ids])


def together(embedded: Embedded, modalities: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """One vector for each id."""
    if len(modalities) == 1:
        return rows(embedded[modalities[0]], ids)
    return unit(sum(rows(embedded[name], ids) for name in modalities))


def values(result: TaskResult) -> dict[str, float]:
    return {name: score.value for name, score in result.scores().items()}


def by_loops(queries: np.ndarray, items: np.ndarray, item_of_query: Sequence[int]) -> dict[str, float]:
    """Both directions; no two similarities are equal but those of texts that are."""
    similarity = [[float(np.dot(query, item)) for item in items] for query in queries]
    forward, back = [], []
    for row, own in zip(similarity, item_of_query, strict=True):
        forward.append(sum(value >= row[own] for value in row))
    for item in range(len(items)):
        most = [-1.0] * len(items)
        for row, own in zip(similarity, item_of_query, strict=True):
            most[own] = max(most[own], row[item])
        back.append(sum(value >= most[item] for value in most))
    return metrics("", np.array(forward)) | metrics("reverse/", np.array(back))


def metrics(before: str, ranks: np.ndarray) -> dict[str, float]:
    recall = {f"{before}recall_at_{k}": (ranks <= k).mean() for k in (1, 5, 10)}
    return {**recall, f"{before}median_rank": np.median(ranks), f"{before}mean_rank": ranks.mean()}


@pytest.mark.parametrize("modalities", [("depth",), ("infrared", "image"), ("depth", "image", "infrared")])
def test_zero_shot_is_scikit_learns(modalities: tuple[str, ...]) -> None:
    embedded = embed_all(modalities, labelled(150))
    result = run(Task(kind="zero_shot", items=modalities), embedded)
    similarity = together(embedded, modalities, result.ids) @ class_vectors(CLASSES).T
    right = [CLASSES.index(item.classes[0]) for item in taking_part(result, embedded)]
    predicted = similarity.argmax(axis=1)
    found = values(result)
    assert found.pop("class_mean") == pytest.approx(balanced_accuracy_score(right, predicted), abs=1e-15)
    assert found == {
        "top1": accuracy_score(right, predicted),
        "top5": top_k_accuracy_score(right, similarity, k=5, labels=range(len(CLASSES))),
    }
    assert 1 / len(CLASSES) < result.scores()["top1"].value < 1


@pytest.mark.parametrize(
    ("modalities", "prompt"),
    [
        (("depth", "image"), "a bad depth photo of a book store."),
        (("image", "depth"), "a bad photo of a book store."),
        (("infrared",), "a bad photo of a book store."),
        (("video",), "a bad video of a book store."),
    ],
)
def test_prompts_are_in_the_words_of_the_first_modality(modalities: tuple[str, ...], prompt: str) -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> Tensor:
        asked.extend(texts)
        return encode_texts(texts)

    run(Task(kind="zero_shot", items=modalities), embed_all(modalities, labelled(10)), templates=None, encode=encode)
    assert len(asked) == 80 * len(CLASSES)
    assert prompt in asked


@pytest.mark.parametrize("modalities", [("audio",), ("audio", "video")])
def test_multi_label_is_scikit_learns(modalities: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    items = [
        Item(f"clip {place}", (), {}, tuple(rng.choice(CLASSES, 1 + place % 3, replace=False))) for place in range(90)
    ]
    embedded = embed_all(modalities, items, noise=2.0)
    result = run(Task(kind="multi_label", items=modalities), embedded)
    carried = np.array([[name in item.classes for name in CLASSES] for item in taking_part(result, embedded)])
    similarity = together(embedded, modalities, result.ids) @ class_vectors(CLASSES).T
    expected = average_precision_score(carried, similarity, average="macro")
    assert values(result) == pytest.approx({"mean_average_precision": expected}, abs=1e-12)


@pytest.mark.parametrize("modalities", [("video",), ("audio", "video")])
def test_retrieval_by_captions_equals_plain_loops(modalities: tuple[str, ...]) -> None:
    embedded = embed_all(modalities, captioned([41, 1, 2, 5, *[3, 1] * 15]), noise=3.0)
    result = run(Task(kind="retrieval", items=modalities), embedded)
    pairs = [(text, place) for place, item in enumerate(taking_part(result, embedded)) for text in item.captions]
    queries = encode_texts([text for text, _ in pairs]).double().numpy()
    fused = together(embedded, modalities, result.ids)
    assert values(result) == by_loops(queries, fused, [place for _, place in pairs])
    assert 0 < result.scores()["recall_at_1"].value < 1


def test_joint_retrieval_is_of_items_that_have_all() -> None:
    items = captioned([2] * 40)
    embedded = {"audio": embed("audio", items[5:]), "video": embed("video", items[:30])}
    result = run(Task(kind="retrieval", items=("audio", "video")), embedded)
    assert set(result.ids) == {item.id for item in items[5:30]}
    assert result.num_there == 25
    queries = encode_texts([text for item in taking_part(result, embedded) for text in item.captions]).double().numpy()
    fused = together(embedded, ("audio", "video"), result.ids)
    assert values(result) == by_loops(queries, fused, np.repeat(np.arange(25), 2).tolist())


def test_emergent_retrieval_needs_neither_captions_nor_classes() -> None:
    embedded = embed_all(("depth", "image"), [Item(f"scene {place}", (), {}) for place in range(40)])
    result = run(Task(kind="retrieval", items=("depth",), queries=("image",)), embedded)
    images, depths = rows(embedded["image"], result.ids), rows(embedded["depth"], result.ids)
    assert values(result) == by_loops(images, depths, range(40))
    back = run(Task(kind="retrieval", items=("image",), queries=("depth",)), embedded)
    assert values(back)["recall_at_1"] == values(result)["reverse/recall_at_1"]


def test_picture_and_caption_ask_together() -> None:
    embedded = embed_all(("depth", "image"), captioned([3, 1] * 20), noise=2.0)
    result = run(Task(kind="retrieval", items=("depth",), queries=("image", "text")), embedded)
    words = encode_texts([item.captions[0] for item in taking_part(result, embedded)]).double().numpy()
    asking = unit(rows(embedded["image"], result.ids) + words)
    assert values(result) == by_loops(asking, rows(embedded["depth"], result.ids), range(40))


def test_picture_and_class_ask_together_where_there_is_no_caption() -> None:
    embedded = embed_all(("depth", "image"), labelled(40), noise=2.0)
    result = run(Task(kind="retrieval", items=("depth",), queries=("image", "text")), embedded)
    words = class_vectors([item.classes[0] for item in taking_part(result, embedded)])
    asking = unit(rows(embedded["image"], result.ids) + words)
    assert values(result) == by_loops(asking, rows(embedded["depth"], result.ids), range(40))
    alone = run(Task(kind="retrieval", items=("depth",), queries=("image",)), embedded)
    assert values(alone)["mean_rank"] != values(result)["mean_rank"]


def test_what_a_task_requires_it_does_not_look_at() -> None:
    items = captioned([2] * 30)
    embedded = {"audio": embed("audio", items[::2]), "video": embed("video", items)}
    silent = Task(kind="retrieval", items=("video",), requires=("audio",))
    joint, everything = (
        silent.model_copy(update={"items": ("video", "audio")}),
        Task(kind="retrieval", items=("video",)),
    )
    assert run(silent, embedded).ids == run(joint, embedded).ids
    assert (run(silent, embedded).num_there, run(everything, embedded).num_there) == (15, 30)
    only = {"video": embed("video", items[::2])}
    assert run(silent, embedded).scores() == run(everything, only).scores()
    assert values(run(silent, embedded)) != values(run(joint, embedded))


@pytest.mark.parametrize(("number", "drawn"), [(40, 4), (46, 5), (3, 1)])
def test_a_sample_is_the_same_in_whatever_order_items_come(number: int, drawn: int) -> None:
    items = labelled(number)
    embedded = embed_all(("depth", "image"), items)
    task = Task(kind="retrieval", items=("depth",), queries=("image",), sample=0.1)
    result = run(task, embedded)
    assert (len(result.ids), result.num_there) == (drawn, number)
    turned = {
        name: EmbeddedItems(there.items[::-1], there.embeddings.flip(0)) for name, there in reversed(embedded.items())
    }
    assert run(task, turned).ids == result.ids[::-1]
    assert values(run(task, turned)) == values(result)
    back = task.model_copy(update={"items": ("image",), "queries": ("depth", "text")})
    assert set(run(back, embedded).ids) == set(result.ids)


def test_a_sample_is_scored_as_if_there_were_no_other_items() -> None:
    items = labelled(200)
    task = Task(kind="zero_shot", items=("depth",), sample=0.1)
    result = run(task, {"depth": embed("depth", items)})
    chosen = {"depth": embed("depth", [item for item in items if item.id in result.ids])}
    alone = run(task.model_copy(update={"sample": 1.0}), chosen)
    assert result.scores() == alone.scores()
    assert (result.ids, result.num_there, alone.num_there) == (alone.ids, 200, 20)


def test_a_sample_draws_from_items_that_have_all() -> None:
    items = captioned([1] * 60)
    embedded = {"audio": embed("audio", items[:30]), "video": embed("video", items)}
    task = Task(kind="retrieval", items=("video",), requires=("audio",), sample=0.2)
    result = run(task, embedded)
    assert (len(result.ids), result.num_there) == (6, 30)
    assert set(result.ids) <= {item.id for item in items[:30]}


def test_a_larger_sample_holds_the_smaller_one_and_neither_is_the_first_items() -> None:
    embedded = embed_all(("depth",), labelled(100))
    share = {share: run(Task(kind="zero_shot", items=("depth",), sample=share), embedded) for share in (0.1, 0.3, 1.0)}
    assert set(share[0.1].ids) < set(share[0.3].ids) < set(share[1.0].ids)
    assert share[1.0].ids == tuple(item.id for item in embedded["depth"].items)
    assert share[0.1].ids != share[1.0].ids[:10]
    assert {name: len(result.ids) for name, result in share.items()} == {0.1: 10, 0.3: 30, 1.0: 100}


def test_without_an_item_that_has_all_the_benchmark_is_named() -> None:
    items = captioned([1] * 4)
    embedded = {"audio": embed("audio", items[:2]), "video": embed("video", items[2:])}
    with pytest.raises(DataError, match="rooms: no item has audio and video"):
        run(Task(kind="retrieval", items=("audio", "video")), embedded)


@pytest.mark.parametrize(
    ("kind", "classes", "message"),
    [
        ("zero_shot", (), "item odd has no class"),
        ("multi_label", (), "item odd has no class"),
        ("zero_shot", ("cellar",), "item odd is of the class 'cellar', which the benchmark does not list"),
        ("multi_label", ("kitchen", "cellar"), "item odd is of the class 'cellar'"),
        ("zero_shot", ("kitchen", "office"), "item odd has several classes; .* multi_label"),
        ("retrieval", ("kitchen",), "item odd has no caption"),
    ],
)
def test_an_item_that_a_task_cannot_use_is_named(kind, classes: tuple[str, ...], message: str) -> None:
    items = [Item(name, (f"a view of {name}",), {}, ("kitchen",)) for name in ("first", "second", "third")]
    embedded = {"depth": embed("depth", [*items, Item("odd", (), {}, classes)])}
    with pytest.raises(DataError, match=message):
        run(Task(kind=kind, items=("depth",)), embedded)


def test_with_neither_caption_nor_class_there_are_no_words_to_ask_with() -> None:
    embedded = embed_all(("depth", "image"), [*labelled(3), Item("odd", (), {})])
    with pytest.raises(DataError, match="item odd has no class"):
        run(Task(kind="retrieval", items=("depth",), queries=("image", "text")), embedded)


def test_a_result_holds_what_was_compared() -> None:
    embedded = embed_all(("depth", "image"), captioned([3, 1] * 10))
    written = run(Task(kind="retrieval", items=("depth", "image"), sample=0.5), embedded)
    pairs = [(text, place) for place, item in enumerate(taking_part(written, embedded)) for text in item.captions]
    assert written.texts == tuple(text for text, _ in pairs)
    assert written.item_of_query is not None
    assert written.item_of_query.tolist() == [place for _, place in pairs]
    assert written.asked.equal(encode_texts(written.texts))
    np.testing.assert_allclose(written.items, together(embedded, ("depth", "image"), written.ids), atol=1e-7)
    shown = run(Task(kind="retrieval", items=("depth",), queries=("image",)), embedded)
    assert shown.texts is None
    np.testing.assert_array_equal(shown.asked, rows(embedded["image"], shown.ids))


@pytest.mark.parametrize("kind", ["zero_shot", "multi_label"])
def test_a_result_of_classes_holds_items_and_prompts(kind) -> None:
    embedded = embed_all(("depth",), labelled(20))
    result = run(Task(kind=kind, items=("depth",)), embedded)
    np.testing.assert_array_equal(result.items, rows(embedded["depth"], result.ids))
    np.testing.assert_allclose(result.asked, class_vectors(CLASSES), atol=1e-6)
    assert (result.texts, result.item_of_query) == (None, None)


def test_fused_vectors_are_unit_norm_and_in_no_order() -> None:
    parts = [embed(name, labelled(20)).embeddings for name in ("depth", "image", "infrared")]
    fused = fuse(parts)
    assert fused.dtype == torch.float32
    np.testing.assert_allclose(fused.numpy(), unit(sum(part.double().numpy() for part in parts)), atol=1e-7)
    torch.testing.assert_close(fuse(parts[::-1]), fused, atol=1e-7, rtol=0)
    assert fuse(parts[:1]) is parts[0]


def test_one_view_is_the_preprocessing_as_it_is() -> None:
    preprocess = PreprocessConfig(short_edge=256, depth=DepthConfig(max_metres=5.0))
    assert views_of(preprocess, Views()) == (preprocess,)


def test_views_are_all_stretches_with_all_crops_and_nothing_else() -> None:
    preprocess = PreprocessConfig(antialias=False, video=VideoConfig(num_frames=12))
    views = views_of(preprocess, Views(clips=4, crops=3))
    shown = [(view.video.stretch, view.crop) for view in views]
    assert sorted(shown) == sorted(product([(clip, 4) for clip in range(4)], ["start", "centre", "end"]))
    as_it_was = {"crop": preprocess.crop, "video": preprocess.video}
    for view in views:
        assert view.model_copy(update=as_it_was) == preprocess
        assert view.video.model_copy(update={"stretch": (0, 1)}) == preprocess.video
    assert [view.crop for view in views_of(preprocess, Views(clips=3))] == ["centre"] * 3
