"""Which views of which samples a training sees, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset

from sam_ft.data.collation import PreparedSamples
from sam_ft.data.embedding_cache.keys import image_signature, row_key, window_signature
from sam_ft.data.embedding_cache.progress import progress


@dataclass(frozen=True)
class View:
    """One of the views of one sample, and the key of its embedding."""

    part: PreparedSamples
    number: int
    item: int
    key: str


def view_keys(part: PreparedSamples, *, num_views: int, num_workers: int) -> list[list[str]]:
    """Of each view of each sample, after a look at all images; where nothing is random there is one view."""
    reader = DataLoader(_Signatures(part), batch_size=None, num_workers=num_workers)
    with progress(len(part), "checking images") as bar:
        signatures = []
        for shown in reader:
            signatures.append(shown)
            bar.update()
    return [
        [row_key(shown, part.prepare_of(item), view=(part.seed, view, item)) for item, shown in enumerate(signatures)]
        for view in range(num_views if part.is_random else 1)
    ]


def views_of(part: PreparedSamples, keys: Sequence[Sequence[str]]) -> list[View]:
    """All views of a sample after each other, since it is read for each of them."""
    return [View(part, number, item, own[item]) for item in range(len(part)) for number, own in enumerate(keys)]


class _Signatures(Dataset[list[str]]):
    """What each sample shows."""

    def __init__(self, part: PreparedSamples) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> list[str]:
        sample = self.part.samples[index]
        return [image_signature(sample), *([window_signature(sample)] if self.part.prepare_of(index).window else [])]
