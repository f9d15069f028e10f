from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sam_ft.data.labelled_images import LabelledImages, image_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.volumes.objects import KINDS, ObjectRule


@dataclass(frozen=True)
class Case:
    """A case in memory."""

    name: str
    labels: tuple[tuple[int, ...], ...]
    pixel_mm: tuple[float, float] | None = None

    @property
    def group(self) -> str:
        return self.name[0]

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    @property
    def label_path(self) -> Path:
        return Path(f"{self.name}.png")

    def read_image(self) -> np.ndarray:
        return np.full((*self.read_labels().shape, 3), 7, np.uint8)

    def read_labels(self) -> np.ndarray:
        return np.array(self.labels)


APART, SMALL, NONE = ((1, 1, 0, 1), (0, 0, 0, 1)), ((0, 2, 0, 0), (0, 0, 0, 0)), ((0, 0), (0, 0))
CASES = [Case("a1", APART), Case("a2", NONE), Case("b1", APART), Case("c1", SMALL), Case("d1", NONE)]


@pytest.mark.parametrize("kind, areas", [("labels", [4]), ("components", [2, 2])])
def test_objects_are_labels_or_connected_regions(kind: str, areas: list[int]) -> None:
    samples = LabelledImages(CASES, objects=ObjectRule(kind=kind, min_area_px=2))
    assert [sample.name for sample in samples] == ["a1", "b1"]
    assert samples[0].masks.sum(dim=(1, 2)).tolist() == areas and samples[0].ignored is None
    assert (samples[0].image == 7).all() and samples.class_names is None


def test_regions_in_space_need_a_volume() -> None:
    with pytest.raises(ValueError, match="whole volume"):
        LabelledImages(CASES, objects=ObjectRule(kind=KINDS[2], min_area_px=1))


def test_images_without_object_are_drawn_by_share_but_not_those_with_a_small_one() -> None:
    samples = LabelledImages(CASES, objects=ObjectRule(min_area_px=2))
    assert [sample.name for sample in samples.with_empty(1.0)] == ["a1", "b1", "a2", "d1"]
    drawn = {samples.with_empty(0.5, seed=seed)[2].name for seed in range(9)}
    assert drawn == {"a2", "d1"} and len(samples.with_empty(0.5)) == 3
    with pytest.raises(ValueError, match="`empty`"):
        samples.with_empty(1.1)


def test_groups_stay_together() -> None:
    splits = image_splits(
        CASES, objects=ObjectRule(min_area_px=1), names=None, split=GroupSplit(val=["a"], test=["c"]), empty=1.0
    )
    assert [[sample.name for sample in part] for part in (splits.train, splits.val, splits.test or ())] == [
        ["b1", "d1"], ["a1", "a2"], ["c1"],
    ]  # fmt: skip


def test_no_object_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one object in 5 label maps .*a1.png"):
        LabelledImages(CASES, objects=ObjectRule(min_area_px=5))
