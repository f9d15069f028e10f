"""Intervals of an interactive evaluation against drawing records one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sam_ft.evaluation.records.intervals import intervals
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.parts import Parts, by_class, by_set, whole_summary
from sam_ft.evaluation.showing.summary_tables import parts_table
from sam_ft.metrics.bootstrap import clustered_interval, draws


def record(image: str, *, to_85: int | None = None, name: str = "object", iou: float = 0.5) -> MaskRecord:
    """The last of nine rounds."""
    return MaskRecord(image, 0, name, 9, "click", 9, iou, 0.5, oracle_iou=0.75, clicks_to_85=to_85)


def many(count: int = 14, *, rare: tuple[int, ...] = (2, 9)) -> list[MaskRecord]:
    """Two common classes in each image, and a rare one in some of them; half of the images are of another set."""
    found = []
    for number in range(count):
        image, iou = f"{number}", ((7 * number) % count) / count
        chosen = {"cell": iou, "fibre": iou**2} | ({"rare": iou**3} if number in rare else {})
        for index, (name, value) in enumerate(chosen.items()):
            clicks = 1 + (number + index) % 4
            made = record(image, to_85=clicks if clicks < 4 else None, name=name, iou=value)
            found.append(replace(made, object_index=index, set_name="left" if number < count // 2 else "right"))
    return found


def test_every_figure_has_the_interval_of_the_bootstrap_over_images() -> None:
    records = [record(str(number), to_85=1 + number % 5) for number in range(12)]
    found = intervals(records)
    assert list(found) == ["miou@9", "miou@9_oracle", "noc@85", "noc@90", "nof@85", "nof@90"]
    clicks = torch.tensor([1.0 + number % 5 for number in range(12)], dtype=torch.float64)
    expected = clustered_interval(clicks, [str(number) for number in range(12)])
    assert vars(found["noc@85"]) == pytest.approx(vars(expected))
    assert found["noc@85"].low < clicks.mean() < found["noc@85"].high
    assert found["miou@9"].ends == (0.5, 0.5)


def test_failures_have_the_interval_of_their_share_times_the_masks() -> None:
    records = many()
    failed = [float(each.clicks_to_85 is None) for each in records]
    share = clustered_interval(torch.tensor(failed), [each.image for each in records])
    expected = [share.low * len(records), share.high * len(records)]
    assert intervals(records)["nof@85"].ends == pytest.approx(expected)
    assert 0 < expected[0] < whole_summary(records)["nof@85"] < expected[1]


def test_a_few_images_have_no_interval() -> None:
    few = [record(str(number)) for number in range(9)]
    assert intervals(few) == {} and intervals([*few, *few]) == {}
    parts = by_class(few)
    assert parts.intervals == {"object": {}} and parts.mean_intervals == {}


def test_a_class_has_the_intervals_of_its_masks_alone_and_a_rare_one_has_none() -> None:
    parts = by_class(many())
    assert parts.intervals["rare"] == {}
    own = [each for each in many() if each.class_name == "fibre"]
    assert parts.intervals["fibre"] == intervals(own)
    assert parts.summaries["fibre"]["noc@85"] == whole_summary(own)["noc@85"]


def resampled(parts: Parts, images: list[str], strata: list[str] | None) -> list[float]:
    """The middle 95 % of the mean over parts of mIoU, record by record of each resample that has a mask of each part.

    The end that the resamples lie away from is moved by twice what they are off.
    """
    means = []
    for drawn in torch.cat(list(draws(len(images), strata=strata))).tolist():
        times = dict(zip(images, drawn, strict=True))
        of_parts = []
        for records in parts.records.values():
            ious = [each.iou for each in records for _ in range(int(times[each.image]))]
            of_parts += [sum(ious) / len(ious)] if ious else []
        means += [sum(of_parts) / len(of_parts)] if len(of_parts) == len(parts.records) else []
    low, high = torch.quantile(torch.tensor(means, dtype=torch.float64), torch.tensor([0.025, 0.975]).double()).tolist()
    off = sum(means) / len(means) - parts.mean["miou@9"]
    return [low - 2 * off, high] if off > 0 else [low, high - 2 * off]


def test_the_mean_over_classes_draws_images_of_all_of_them_at_once() -> None:
    parts = by_class(many(rare=tuple(range(10))))
    interval = parts.mean_intervals["miou@9"]
    assert interval.mean == pytest.approx(sum(each["miou@9"] for each in parts.summaries.values()) / 3)
    assert interval.ends == pytest.approx(resampled(parts, [str(number) for number in range(14)], None))


def test_the_mean_over_classes_has_no_interval_if_one_is_in_a_few_images() -> None:
    parts = by_class(many(rare=tuple(range(9))))
    assert parts.mean_intervals == {}
    table = parts_table(parts, heading="class")
    assert table.caption == "A mean has no interval where a class is in fewer than 10 images."
    assert table.rows[-1][:3] == ["mean", "", f"{parts.mean['miou@9']:.3f}"]
    assert not parts_table(by_class(many(rare=tuple(range(10)))), heading="class").caption
    alone = [record(str(number), name=f"rare {number}", iou=0.1 * number) for number in range(9)]
    common = [record(f"common {number}", name="common", iou=0.3 + 0.01 * number) for number in range(30)]
    assert by_class([*common, *alone]).mean_intervals == {}


def test_the_mean_over_classes_has_intervals_of_the_figures_that_enough_images_of_each_have() -> None:
    records = many(rare=tuple(range(12)))
    boxed = [replace(each, prompt="box", num_clicks=0) for each in records if int(each.image) < 9]
    parts = by_class([*records, *boxed])
    assert "miou@box" in parts.mean
    assert parts.mean_intervals.keys() == {"miou@9", "miou@9_oracle", "noc@85", "noc@90"}


CLASS_LEVELS = (0.8, 0.3, 0.0, -0.4, -0.8, -1.2)


def crowded(count: int, generator: torch.Generator) -> list[MaskRecord]:
    """Images of six classes, each in half of them; the more objects of one there are, the worse they are found."""
    records = []
    for number in range(count):
        for place, level in enumerate(CLASS_LEVELS):
            present, effect, size = torch.rand(1, generator=generator), *torch.randn(2, generator=generator)
            if present < 0.5:
                several = 1 + int((0.5 + size).exp())
                iou = float(torch.sigmoid(level + effect - 0.3 * math.log(several)))
                records += [record(f"{number}", name=f"{place}", iou=iou)] * several
    return records


def test_the_interval_of_the_mean_over_classes_holds_the_mean_and_nearly_always_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = by_class(crowded(5000, generator)).mean["miou@9"]
    drawn = [by_class(crowded(40, generator)).mean_intervals.get("miou@9") for _ in range(100)]
    found = [interval for interval in drawn if interval is not None]
    assert len(found) > 90
    assert all(interval.low < interval.mean < interval.high for interval in found)
    assert 0.88 <= sum(interval.low <= truth <= interval.high for interval in found) / len(found) < 1
    assert sum(interval.high - interval.low for interval in found) / len(found) < 0.2  # not by being wide


def test_the_mean_over_sets_draws_as_many_images_of_each_set_as_it_has() -> None:
    parts = by_set(many(24))
    images = [str(number) for number in range(24)]
    strata = ["left"] * 12 + ["right"] * 12
    assert parts.mean_intervals["miou@9"].ends == pytest.approx(resampled(parts, images, strata))
    assert parts.mean_intervals.keys() == {"miou@9", "miou@9_oracle", "noc@85", "noc@90"}
    assert by_set(many(18)).mean_intervals == {}  # nine images of each
    assert by_set([replace(each, set_name=None) for each in many()]).as_json("sets") == {}


def test_the_mean_over_classes_counts_small_ones_like_large_ones() -> None:
    records = [record("a", name="cord", iou=0.25), record("b", name="cord", iou=0.75), record("b", name="lesion")]
    boxed = replace(records[0], prompt="box", num_clicks=0)
    parts = by_class([*records, replace(records[2], iou=1.0), boxed])
    assert parts.mean["miou@9"] == pytest.approx((0.5 + 0.75) / 2)
    assert parts.summaries["cord"]["miou@box"] == 0.25 and "miou@box" not in parts.mean  # one class has no box
    assert not any(key.startswith(("num_", "nof@")) for key in parts.mean)
    assert math.isclose(parts.mean["noc@85"], 9.0)
