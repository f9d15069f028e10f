"""The classes of a data set's objects: which there are, and their numbers in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sam_ft.data.splits import SampleDataset, without_image
from sam_ft.types import Batch


def class_names_of(samples: SampleDataset) -> tuple[str, ...]:
    """The classes of a data set: its own `class_names` where it has them, else sorted, from a look at every sample.

    Raises:
        ValueError: there is no object.
    """
    known = getattr(samples, "class_names", None)
    if known is not None:
        return tuple(known)
    names = {name for index in range(len(samples)) for name in classes_in(samples, index)}
    if not names:
        raise ValueError("Expected at least one object in the data set, to know its classes, but got none.")
    return tuple(sorted(names))


def classes_in(samples: SampleDataset, index: int) -> tuple[str, ...]:
    """The classes of the objects of one sample, perhaps several times; read without its image where that can be."""
    classes_at = getattr(samples, "classes_at", None)
    return without_image(samples, index).class_names if classes_at is None else classes_at(index)


def class_indices(batch: Batch, class_names: Sequence[str]) -> Tensor:
    """The class of each object of a batch by its number: (B, N) int64 on the batch's device; 0 for padding.

    Raises:
        ValueError: an object is of none of the classes; it is named.
    """
    numbers = {name: index for index, name in enumerate(class_names)}
    indices = torch.zeros(batch.masks.shape[:2], dtype=torch.int64)
    for row, sample in zip(indices, batch.samples, strict=False):  # the others are padding
        expect_known_classes(sample.class_names, class_names, where=sample.name)
        row[: len(sample.class_names)] = torch.tensor([numbers[name] for name in sample.class_names], dtype=torch.int64)
    return indices.to(batch.masks.device)


def expect_known_classes(given: Sequence[str], known: Sequence[str], *, where: str) -> None:
    """Refuse classes that a model does not know.

    Raises:
        ValueError: there are some.
    """
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(
            f"Expected objects of the classes that the model knows ({', '.join(known)}), but {where} has "
            f"{', '.join(unknown)}: sam-ft fit classes=auto, or with a list, teaches it all of them."
        )
