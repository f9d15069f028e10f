from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sam_ft.evaluation.comparing.changes import Change, change, changes_by_prompt, changes_by_size, size_classes
from sam_ft.evaluation.records.mask_record import MaskRecord

IMAGES = [f"image {number}" for number in range(16)]


def record(image: str, index: int, *, iou: float, clicks: int = 1, area_px: int = 100) -> MaskRecord:
    prompt = "click" if clicks else "box"
    return MaskRecord(image, index, "object", area_px, prompt, clicks, iou, 0.5)  # type: ignore[arg-type]


def records(ious: Sequence[float], *, gain: float = 0.0, clicks: Sequence[int] = (1,)) -> list[MaskRecord]:
    """One object in each image, asked in each way; more clicks are better by 0.1 each."""
    return [
        record(image, 0, iou=iou + 0.1 * count + gain, clicks=count, area_px=(number + 1) * 200)
        for number, (image, iou) in enumerate(zip(IMAGES, ious, strict=False))
        for count in clicks
    ]


BEFORE = [0.1, 0.2, 0.3, 0.4, 0.2, 0.3, 0.1, 0.2] * 2


def test_a_gain_on_every_mask_is_better_and_a_loss_worse() -> None:
    (gain,) = changes_by_prompt(records(BEFORE), records(BEFORE, gain=0.05))
    assert gain.verdict == "better"
    assert (gain.difference, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))
    assert (gain.before, gain.after) == pytest.approx((0.325, 0.375))
    assert (gain.count, gain.num_images, gain.objects, gain.prompt) == (16, 16, "all", "1 click")
    (loss,) = changes_by_prompt(records(BEFORE, gain=0.05), records(BEFORE))
    assert loss.verdict == "worse" and loss.difference == pytest.approx(-0.05)


def test_gains_and_losses_that_cancel_are_no_clear_difference() -> None:
    after = [iou + (0.1 if number % 2 else -0.09) for number, iou in enumerate(BEFORE)]
    (found,) = changes_by_prompt(records(BEFORE), records(after))
    assert found.verdict == "no clear difference"
    assert found.low is not None and found.high is not None
    assert found.low < 0 < found.difference < found.high


def test_nothing_changed_is_no_clear_difference() -> None:
    assert changes_by_prompt(records(BEFORE), records(BEFORE))[0].verdict == "no clear difference"


def test_nine_images_are_too_few_for_a_verdict() -> None:
    (few,) = changes_by_prompt(records(BEFORE[:9]), records(BEFORE[:9], gain=0.5))
    assert few.verdict == "too few images" and few.difference == pytest.approx(0.5)
    assert few.low is None and few.high is None
    assert changes_by_prompt(records(BEFORE[:10]), records(BEFORE[:10], gain=0.5))[0].verdict == "better"


def test_prompts_come_by_clicks_and_then_the_box() -> None:
    asked = (0, 10, 1, 3)
    found = changes_by_prompt(records(BEFORE, clicks=asked), records(BEFORE, clicks=asked))
    assert [each.prompt for each in found] == ["1 click", "3 clicks", "10 clicks", "box"]


def test_each_size_is_compared_on_its_own() -> None:
    """200 to 3200 pixels: five objects are small by COCO, eleven are medium."""
    before = records(BEFORE, clicks=(0, 1))
    after = [replace(each, iou=each.iou + (0.1 if each.area_px < 1024 else -0.1)) for each in before]
    found = changes_by_size(before, after)
    assert [(each.objects.split(" (")[0], each.prompt, each.count) for each in found] == [
        ("small", "1 click", 5),
        ("small", "box", 5),
        ("medium", "1 click", 11),
        ("medium", "box", 11),
    ]
    assert [each.difference for each in found] == pytest.approx([0.1, 0.1, -0.1, -0.1])
    assert [each.verdict for each in found] == ["too few images", "too few images", "worse", "worse"]


def test_sizes_are_those_of_coco_where_they_tell_objects_apart() -> None:
    classes = size_classes([10, 1023, 1024, 9215, 9216, 50_000])
    assert [(each.least, each.below) for each in classes] == [(0, 1024), (1024, 9216), (9216, float("inf"))]
    assert [each.name.split()[0] for each in size_classes([10, 20_000])] == ["small", "large"]


def test_objects_of_tiny_images_are_divided_into_thirds() -> None:
    areas = [12, 15, 20, 31, 40, 55, 60, 70, 90]
    classes = size_classes(areas)
    assert [[area for area in areas if each.holds(area)] for each in classes] == [areas[:3], areas[3:6], areas[6:]]
    assert classes[0].name == "smallest third (below 31 px)"


def test_objects_of_one_area_have_no_sizes_and_no_object_has_none() -> None:
    assert size_classes([50] * 9) == [] and size_classes([]) == [] and size_classes([5]) == []


@pytest.mark.parametrize(
    "areas, parts",
    [
        ([5, 5, 9, 9, 9], [[5, 5], [9, 9, 9]]),
        ([5, 5, 5, 5, 5, 9, 10], [[5] * 5, [9], [10]]),
        ([5, 5, 5, 5, 9], [[5] * 4, [9]]),
        ([5, 9, 9, 9, 9], [[5], [9] * 4]),
        ([1, 9, 9, 9, 9, 12], [[1], [9] * 4, [12]]),
    ],
)
def test_equal_areas_stay_together_and_no_size_is_empty(areas: list[float], parts: list[list[float]]) -> None:
    assert [[area for area in areas if each.holds(area)] for each in size_classes(areas)] == parts


def test_records_of_other_masks_are_refused() -> None:
    for after in (records(BEFORE[:7]), records(BEFORE, clicks=(0,))):
        with pytest.raises(ValueError, match="same masks and prompts"):
            changes_by_prompt(records(BEFORE), after)
    with pytest.raises(ValueError, match="paired"):
        change([1.0], [1.0, 2.0], ["a"], prompt="box")


def test_a_change_touching_zero_is_not_clear() -> None:
    found = Change("box", "all", 12, 12, before=0.1, after=0.2, difference=0.1, low=0.0, high=0.2)
    assert found.verdict == "no clear difference"
