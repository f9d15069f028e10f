"""Intervals of an interactive evaluation against drawing records one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sam_ft.evaluation.records.intervals import intervals
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.parts import Parts, by_class, by_set, whole_summary
from sam_ft.metrics.bootstrap import clustered_interval, draws


def record(image: str, *, to_85: int | None = None, name: str = "object", iou: float = 0.5) -> MaskRecord:
    """The last of nine rounds."""
    return MaskRecord(image, 0, name, 9, "click", 9, iou, 0.5, oracle_iou=0.75, clicks_to_85=to_85)


def many(count: int = 14) -> list[MaskRecord]:
    """Two common classes in each image, and a rare one in two of them; half of the images are of another set."""
    found = []
    for number in range(count):
        image, iou = f"{number}", ((7 * number) % count) / count
        chosen = {"cell": iou, "fibre": iou**2} | ({"rare": iou**3} if number in (2, 9) else {})
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
    """The middle 95 % of the mean over parts of mIoU, record by record of each resample."""
    means = []
    for drawn in torch.cat(list(draws(len(images), strata=strata))).tolist():
        times = dict(zip(images, drawn, strict=True))
        of_parts = []
        for records in parts.records.values():
            ious = [each.iou for each in records for _ in range(int(times[each.image]))]
            of_parts += [sum(ious) / len(ious)] if ious else []
        means.append(sum(of_parts) / len(of_parts))
    return torch.quantile(torch.tensor(means, dtype=torch.float64), torch.tensor([0.025, 0.975]).double()).tolist()


def test_the_mean_over_classes_draws_images_of_all_of_them_at_once() -> None:
    """A resample without an image of the rare class is a mean over the two others."""
    parts = by_class(many())
    interval = parts.mean_intervals["miou@9"]
    assert interval.mean == pytest.approx(sum(each["miou@9"] for each in parts.summaries.values()) / 3)
    assert interval.ends == pytest.approx(resampled(parts, [str(number) for number in range(14)], None))


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
