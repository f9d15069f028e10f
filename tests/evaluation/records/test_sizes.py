from __future__ import annotations

import pytest

from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.sizes import records_by_size, size_bins


@pytest.mark.parametrize(
    "areas, edges",
    [
        ([], []),
        ([5], [(4, 8)]),
        ([64, 65, 127, 128], [(64, 128), (128, 256)]),
        ([1, 9], [(1, 2), (8, 16)]),  # sizes without an object are left out
        ([16, 100, 5000], [(16, 64), (64, 256), (4096, 16384)]),  # nine doublings are too many: fourfold
    ],
)
def test_sizes_double_until_there_are_too_many(areas: list[float], edges: list[tuple[float, float]]) -> None:
    assert [(each.least, each.below) for each in size_bins(areas)] == edges


@pytest.mark.parametrize("smallest", [1, 3, 64, 1000])
@pytest.mark.parametrize("largest", [1, 1.5, 2, 300, 10**6])
def test_every_object_is_in_one_of_at_most_eight_sizes(smallest: int, largest: float) -> None:
    areas = [smallest, smallest * (1 + largest) // 2, smallest * largest // 1]
    bins = size_bins(areas)
    assert len(bins) <= 8
    assert all(sum(each.holds(area) for each in bins) == 1 for area in areas)


def test_records_are_divided_by_the_area_of_their_object() -> None:
    records = [MaskRecord("a", index, "object", area, "box", 0, 0.5, 0.5) for index, area in enumerate((70, 150, 90))]
    by_size = records_by_size(records)
    assert {name: [each.object_index for each in part] for name, part in by_size.items()} == {
        "64 to 128 px": [0, 2],
        "128 to 256 px": [1],
    }
