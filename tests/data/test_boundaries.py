"""The interiors and boundaries of objects."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sam_ft.data.boundaries import BoundarySamples, boundary_splits
from sam_ft.data.splits import DataSplits
from sam_ft.types import Sample, blank_image


def sample(*squares: slice) -> Sample:
    """Objects that are squares on the diagonal of an image of 16 x 16 pixels."""
    masks = torch.zeros(len(squares), 16, 16, dtype=torch.bool)
    for mask, square in zip(masks, squares, strict=True):
        mask[square, square] = True
    return Sample(torch.zeros(16, 16, 3, dtype=torch.uint8), masks, ("cell",) * len(squares), "a")


def taken_apart(own: Sample) -> Sample:
    (taken,) = BoundarySamples([own], boundary_px=2)  # type: ignore[arg-type]
    return taken


def test_an_object_has_no_boundary_at_the_edge_of_the_image() -> None:
    taken = taken_apart(sample(slice(0, 8)))
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[:6, :6] = True
    assert taken.class_names == ("interior", "boundary")
    assert torch.equal(taken.masks[0], expected)


def test_where_objects_overlap_the_boundary_of_either_counts() -> None:
    interior, boundary = taken_apart(sample(slice(1, 9), slice(6, 14))).masks
    assert not (interior & boundary).any()
    assert boundary[6:9, 6:9].all() and interior[3:6, 3:6].all() and interior[9:12, 9:12].all()


def test_a_data_set_keeps_its_parts_and_its_augmentation() -> None:
    class Slices(list):
        suited_augmentation = "medical"

    one = Slices([sample(slice(2, 10))])
    splits = boundary_splits(DataSplits(train=one, val=one, test=one), boundary_px=1)
    for part in (splits.train, splits.val, splits.test):
        assert isinstance(part, BoundarySamples) and part.suited_augmentation == "medical"
        assert int(part[0].masks[0].sum()) == 36
    assert boundary_splits(DataSplits(train=one, val=one)).test is None


def test_the_image_is_left_unread_where_the_data_set_can_do_that() -> None:
    class Unread(list):
        def without_image(self, index: int) -> Sample:
            return replace(super().__getitem__(index), image=blank_image(16, 16))

    own = replace(sample(slice(2, 10)), image=torch.ones(16, 16, 3, dtype=torch.uint8))
    taken, always_read = (BoundarySamples(kind([own]), boundary_px=2) for kind in (Unread, list))  # type: ignore[arg-type]
    assert not taken.without_image(0).image.any() and taken[0].image.all()
    assert torch.equal(taken.without_image(0).masks, taken[0].masks)
    assert taken.without_image(0).class_names == ("interior", "boundary")
    assert always_read.without_image(0).image.all()


def test_no_data_set_and_no_width_are_refused() -> None:
    one = DataSplits(train=[sample(slice(2, 10))], val=[sample(slice(2, 10))])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`boundary_px`"):
        boundary_splits(one, boundary_px=0)
    with pytest.raises(ValueError, match=r"\+data@data.of=NAME"):
        boundary_splits({})  # type: ignore[arg-type]
