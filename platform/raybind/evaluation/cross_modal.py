"""Emergent retrieval: between two modalities that were each bound to language and never to one another.

(LanguageBind, Sec. 4.4, Table 7.) The items of both sides are matched by their ids.
"""

import torch

from raybind.errors import DataError
from raybind.evaluation.items import EmbeddedItems
from raybind.evaluation.retrieval import RetrievalResult, retrieve


def retrieve_across(queries: EmbeddedItems, gallery: EmbeddedItems) -> RetrievalResult:
    """Retrieve each item's other modality among those of all items; `item_to_text` is queries -> gallery.

    Raises: DataError: the two sides do not hold the same ids.
    """
    places = {item.id: place for place, item in enumerate(gallery.items)}
    lonely = sorted({item.id for item in queries.items} ^ places.keys())
    if lonely:
        raise DataError(
            f"{len(lonely)} items are there in one modality only, the first is {lonely[0]!r}; both must come from the "
            "same data set and split"
        )
    pairs = torch.tensor([(places[item.id], number) for number, item in enumerate(queries.items)])
    return retrieve(queries.embeddings, gallery.embeddings, pairs)
