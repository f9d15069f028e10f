from __future__ import annotations

import pytest
import torch

from sam_ft.data.classes import class_indices, class_names_of
from sam_ft.data.collation import Prepare, collate
from sam_ft.data.synthetic import Synthetic
from sam_ft.types import Batch, Sample


def sample(*names: str) -> Sample:
    return Sample(
        image=torch.zeros(8, 8, 3, dtype=torch.uint8),
        masks=torch.ones(len(names), 8, 8, dtype=torch.bool),
        class_names=names,
        name="image7",
    )


def batch_of(*samples: Sample) -> Batch:
    return collate([Prepare(16)(each) for each in samples])


def test_the_classes_are_those_of_all_samples_unless_the_data_set_tells_them() -> None:
    samples = Synthetic(12, image_size=64)
    assert class_names_of(samples) == ("ellipse", "nucleus", "polygon")
    samples.class_names = ("polygon", "ellipse", "nucleus", "rare")  # type: ignore[attr-defined]
    assert class_names_of(samples) == ("polygon", "ellipse", "nucleus", "rare")
    with pytest.raises(ValueError, match="at least one object"):
        class_names_of([sample()])  # type: ignore[arg-type]


def test_objects_get_the_number_of_their_class_and_padding_0() -> None:
    indices = class_indices(batch_of(sample("b", "a", "b"), sample(), sample("c")), ("a", "b", "c"))
    assert indices.tolist() == [[1, 0, 1], [0, 0, 0], [2, 0, 0]]


def test_an_unknown_class_is_named_with_its_image_and_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"\(a, b\), but image7 has c, d: .*classes=auto"):
        class_indices(batch_of(sample("a", "d", "c")), ("a", "b"))
