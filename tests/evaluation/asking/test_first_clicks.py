from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from sam_ft.evaluation.asking.first_clicks import centre_of_mass_points, drawn_points

GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.rand(40, 12, 15, generator=GENERATOR) < torch.linspace(0.05, 0.95, 40)[:, None, None]


def mask_of(*rows: str) -> torch.Tensor:
    return torch.tensor([[cell == "#" for cell in row] for row in rows])[None]


def test_a_drawn_point_lies_in_its_object() -> None:
    points = drawn_points(NOISE, image="a", first_index=0, seed=0).long()
    assert all(mask[y, x] for mask, (x, y) in zip(NOISE, points, strict=True))


def test_a_drawn_point_depends_on_seed_image_and_object_alone() -> None:
    def draw(first: int, *, image: str = "a", seed: int = 0) -> torch.Tensor:
        return drawn_points(NOISE[20 + first :], image=image, first_index=first, seed=seed)

    torch.testing.assert_close(draw(0)[7:], draw(7))
    for other in (draw(0, image="b"), draw(0, seed=1)):
        assert not torch.equal(draw(0), other)


def test_every_pixel_is_drawn_about_equally_often() -> None:
    mask = torch.zeros(600, 3, 4, dtype=torch.bool)
    mask[:, 1:, :3] = True  # six pixels
    points = drawn_points(mask, image="a", first_index=0, seed=0)
    counts = torch.unique(points, dim=0, return_counts=True)[1].tolist()
    assert len(counts) == 6
    assert all(70 < count < 130 for count in counts)  # 100, with a deviation of 9


def test_the_centre_of_mass_is_clicked_where_the_object_has_it() -> None:
    centres = [[int(np.round(place)) for place in ndimage.center_of_mass(mask.numpy())] for mask in NOISE]
    inside = [(mask, [x, y]) for mask, (y, x) in zip(NOISE, centres, strict=True) if mask[y, x]]
    assert len(inside) > 15
    assert all(centre_of_mass_points(mask[None]).tolist() == [point] for mask, point in inside)


def test_halves_go_to_the_even_pixel() -> None:
    assert centre_of_mass_points(mask_of("##")).tolist() == [[0, 0]]  # 0.5
    assert centre_of_mass_points(mask_of(".##")).tolist() == [[2, 0]]  # 1.5


@pytest.mark.parametrize(
    "rows, expected",
    [
        (("###", "#.#", "###"), [0, 0]),  # every pixel ends at once in some direction: the first one
        (("########", "###.....", "###.....", "###.....", "########"), [1, 1]),  # first with neighbours on four sides
    ],
)
def test_an_object_without_its_centre_of_mass_is_clicked_inside(rows: tuple[str, ...], expected: list[int]) -> None:
    mask = mask_of(*rows)
    assert not holds_its_centre(mask[0])
    assert centre_of_mass_points(mask).tolist() == [expected]


def test_the_way_to_the_end_is_counted_pixel_by_pixel() -> None:
    """Against steps in four directions, on rings of noise that do not hold their centre of mass."""
    rings = NOISE[20:].clone()
    rings[:, 4:8, 4:11] = False
    rings = torch.stack([ring for ring in rings if not holds_its_centre(ring)])
    assert len(rings) > 10
    for ring, point in zip(rings, centre_of_mass_points(rings).tolist(), strict=True):
        best, found = -1, (0, 0)
        for row, column in ring.nonzero().tolist():
            ways = [steps(ring, row, column, *step) for step in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            if min(ways) > best:
                best, found = min(ways), (column, row)
        assert point == list(found)


def test_twenty_pixels_are_far_enough() -> None:
    """Two discs of which the second is larger: the first pixel that is 20 from every end is in the first one."""
    rows, columns = torch.meshgrid(torch.arange(210), torch.arange(90), indexing="ij")
    first = (rows - 40) ** 2 + (columns - 45) ** 2 <= 30**2
    second = (rows - 160) ** 2 + (columns - 45) ** 2 <= 40**2
    assert not holds_its_centre(first | second)
    ((x, y),) = centre_of_mass_points((first | second)[None]).int().tolist()
    ways = [steps(first | second, y, x, *step) for step in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    assert y < 40 and min(ways) == 20


def holds_its_centre(mask: torch.Tensor) -> bool:
    y, x = mask.nonzero().double().mean(dim=0).round().long().tolist()
    return bool(mask[y, x])


def steps(mask: torch.Tensor, row: int, column: int, down: int, right: int) -> int:
    count = 0
    while 0 <= row + down < mask.shape[0] and 0 <= column + right < mask.shape[1] and mask[row + down, column + right]:
        row, column, count = row + down, column + right, count + 1
    return count
