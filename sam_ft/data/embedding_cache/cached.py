"""The embeddings of a data set, as its samples ask for them."""

from __future__ import annotations

from collections.abc import Sequence

from sam_ft.data.embedding_cache.shards import Shards
from sam_ft.types import ImageEmbedding


class CachedEmbeddings:
    """Of every sample of a data set V views; one is read from the disk when it is asked for.

    Args:
        shards: hold the rows.
        keys: V lists of one key for each sample.
    """

    def __init__(self, shards: Shards, keys: Sequence[Sequence[str]]) -> None:
        self.shards = shards
        self.keys = keys

    @property
    def num_views(self) -> int:
        """V."""
        return len(self.keys)

    def __call__(self, view: int, item: int) -> ImageEmbedding:
        """One view of one sample, B = 1, in the type in which it is kept."""
        return self.shards.read(self.keys[view][item])
