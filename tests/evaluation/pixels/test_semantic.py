"""Semantic segmentation measured on a model that knows the truth but for what it is told to mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam_ft.data.collation import Prepare, collate
from sam_ft.evaluation.pixels.intervals import image_pixels, pixel_intervals
from sam_ft.evaluation.pixels.page import semantic_page, semantic_table
from sam_ft.evaluation.pixels.semantic import SemanticMeasurement, measure_classes
from sam_ft.evaluation.protocols.request import Request
from sam_ft.evaluation.protocols.semantic import SemanticProtocol
from sam_ft.metrics.bootstrap import draws
from sam_ft.metrics.confusion import mean_iou
from sam_ft.pages.html import render
from sam_ft.types import ImageEmbedding, Sample

NAMES = ("background", "road", "car", "rare")


class ByGrey:
    """The class of a pixel is its grey value over 50; cars are taken for roads."""

    image_size = 32
    pixel_class_names = NAMES

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images)

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        classes = ((embedding.features[:, 0] * 58.395 + 123.675) / 50).round().long()  # (B, S, S)
        classes = classes.masked_fill(classes == 2, 1)
        return torch.nn.functional.one_hot(classes, 4).permute(0, 3, 1, 2).float()


def sample(name: str, *, height: int = 16, ignored: bool = False) -> Sample:
    """A road on the left half, a car of 4x4 on it, and perhaps a top row that is unknown but for the road."""
    masks = torch.zeros(2, height, 32, dtype=torch.bool)
    masks[0, :, :16] = True
    masks[1, 4:8, 4:8] = True
    grey = torch.zeros(height, 32, dtype=torch.uint8)
    grey[masks[0]], grey[masks[1]] = 50, 100
    unknown = torch.zeros(height, 32, dtype=torch.bool)
    unknown[0] = True
    return Sample(
        image=grey[..., None].repeat(1, 1, 3),
        masks=masks,
        class_names=("road", "car"),
        name=name,
        ignored=unknown if ignored else None,
    )


def measured(*samples: Sample) -> SemanticMeasurement:
    batches = [collate([Prepare(32)(each)]) for each in samples]
    return measure_classes(ByGrey(), batches)


def test_pixels_are_counted_at_the_source_over_all_images() -> None:
    found = measured(sample("a"), sample("b", ignored=True))
    road = 2 * 256 - 2 * 16
    background = 2 * 256 - 16
    expected = [[background, 0, 0, 0], [0, road, 0, 0], [0, 32, 0, 0], [0, 0, 0, 0]]
    assert found.confusion.tolist() == expected
    assert found.summary["miou"] == pytest.approx((1 + road / (road + 32) + 0) / 3)
    assert found.summary["pixel_accuracy"] == pytest.approx(1 - 32 / (background + road + 32))
    assert (found.summary["num_images"], found.summary["num_pixels"]) == (2, background + road + 32)
    assert found.by_class["rare"] == {"iou": None, "pixel_share": 0.0}
    assert found.by_class["car"]["iou"] == 0


def test_predictions_come_at_the_size_of_their_source() -> None:
    shown: dict[str, Tensor] = {}
    samples = [sample("a", height=20), sample("b")]
    batches = [collate([Prepare(32)(each) for each in samples])]
    counted: list[int] = []
    measure_classes(ByGrey(), batches, on_batch=counted.append, on_prediction=lambda s, p: shown.update({s.name: p}))
    assert {name: tuple(each.shape) for name, each in shown.items()} == {"a": (20, 32), "b": (16, 32)}
    assert counted == [2]
    assert (shown["b"][:, :16] == 1).all() and not shown["b"][:, 16:].any()


def test_the_summary_and_the_counts_are_written(tmp_path: Path) -> None:
    found = measured(sample("a"))
    found.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["miou"] == found.summary["miou"] and summary["intervals"] == {}
    assert summary["classes"] == {name: {**own, "intervals": {}} for name, own in found.by_class.items()}
    with (tmp_path / "confusion.csv").open(newline="") as file:
        head, *counts = csv.reader(file)
    assert head == ["truth", *NAMES]
    assert [[int(value) for value in row[1:]] for row in counts] == found.confusion.tolist()


def test_the_table_names_the_most_frequent_mistake() -> None:
    table = semantic_table(measured(sample("a")))
    assert table.rows[2] == ["car", "0.000", "3.1 %", "road (100 %)"]
    assert table.rows[3] == ["rare", "", "0.0 %", ""]
    assert table.rows[4] == ["mean", "0.646", "", ""]


def drawn_mious(confusions: list[Tensor]) -> list[float]:
    """The middle 95 % of mIoU over resamples, each confusion matrix added up as often as its image is drawn.

    The end that the resamples lie away from is moved by twice what they are off.
    """
    mious = []
    for counts in torch.cat(list(draws(len(confusions)))).tolist():
        total = sum(int(count) * each for count, each in zip(counts, confusions, strict=True))
        mious.append(mean_iou(total))  # type: ignore[arg-type]
    low, high = torch.quantile(torch.tensor(mious).double(), torch.tensor([0.025, 0.975]).double()).tolist()
    off = sum(mious) / len(mious) - mean_iou(torch.stack(confusions).sum(dim=0))
    return [low - 2 * off, high] if off > 0 else [low, high - 2 * off]


def test_intervals_draw_images_and_add_up_their_pixels(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    confusions = [torch.randint(1, 60, (4, 4), generator=generator) for _ in range(24)]
    for confusion in confusions:
        confusion[3] = 0  # nowhere in the truth, so that it has no part in the mean
    sets = ["left", "right"] * 11 + ["left"] * 2  # 13 and 11
    images = [image_pixels(each, name) for each, name in zip(confusions, sets, strict=True)]
    of_set = {name: [each for each, own in zip(confusions, sets, strict=True) if own == name] for name in set(sets)}
    totals = {name: torch.stack(own).sum(dim=0) for name, own in of_set.items()}
    found = SemanticMeasurement(NAMES, torch.stack(confusions).sum(dim=0), 24, totals, images)
    assert found.intervals["miou"].ends == pytest.approx(drawn_mious(confusions), abs=1e-6)
    for name in totals:
        assert found.set_intervals[name]["miou"].ends == pytest.approx(drawn_mious(of_set[name]), abs=1e-6)
    assert found.class_intervals.keys() == {"background", "road", "car"}
    low, high = found.class_intervals["car"].ends
    assert low < found.by_class["car"]["iou"] < high  # type: ignore[operator]
    found.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["intervals"].keys() == {"miou", "pixel_accuracy"} == summary["sets"]["left"]["intervals"].keys()
    assert summary["classes"]["car"]["intervals"]["iou"] == [low, high]
    rows = semantic_table(found).rows
    assert rows[2][1] == f"{found.by_class['car']['iou']:.3f} [{low:.3f}, {high:.3f}]"
    assert f"95 %: {found.intervals['miou'].low:.3f} to" in render(
        semantic_page(found, title="t", samples=[], predictions={}, command="c")
    )


def test_miou_has_no_interval_if_a_class_is_in_a_few_images() -> None:
    generator = torch.Generator().manual_seed(0)
    confusions = [torch.randint(1, 60, (4, 4), generator=generator) for _ in range(24)]
    for confusion in confusions[9:]:
        confusion[3] = 0
    total = torch.stack(confusions).sum(dim=0)
    found = SemanticMeasurement(NAMES, total, 24, images=[image_pixels(each) for each in confusions])
    assert found.intervals.keys() == {"pixel_accuracy"}
    assert found.class_intervals.keys() == {"background", "road", "car"}
    table = semantic_table(found)
    assert table.rows[-1][1] == f"{found.summary['miou']:.3f}"
    assert "mIoU has no interval" in table.caption
    confusions[9][3] = 1
    enough = pixel_intervals([image_pixels(each) for each in confusions], torch.stack(confusions).sum(dim=0))
    assert enough.overall.keys() == {"miou", "pixel_accuracy"}


def scenes(count: int, generator: torch.Generator, *, num_classes: int = 12) -> Tensor:
    """Confusion matrices (C, K, K) of images; large objects, of which there are a few, are found better."""
    present = torch.rand(count, num_classes, generator=generator) < 0.5
    present[:, 0] = True
    size = torch.randn(count, num_classes, generator=generator).exp()
    share = torch.sigmoid(0.5 + torch.randn(count, num_classes, generator=generator) + 0.5 * size.log())
    pixels = (200 * size).ceil().long() * present
    right = (share * pixels).long()
    confusions = torch.diag_embed(right)
    confusions[:, 1:, 0] = (pixels - right)[:, 1:]
    other = torch.randint(1, num_classes, (count,), generator=generator)
    confusions[torch.arange(count), 0, other] = (pixels - right)[:, 0]
    return confusions


def test_the_interval_of_miou_holds_it_and_nearly_always_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = mean_iou(scenes(40_000, generator).sum(dim=0))
    drawn = [scenes(40, generator) for _ in range(150)]
    several = [pixel_intervals([image_pixels(each) for each in own], own.sum(dim=0)).overall for own in drawn]
    found = [overall["miou"] for overall in several if "miou" in overall]
    assert len(found) > 140
    assert all(interval.low < interval.mean < interval.high for interval in found)
    assert 0.88 <= sum(interval.low <= truth <= interval.high for interval in found) / len(found) < 1
    assert sum(interval.high - interval.low for interval in found) / len(found) < 0.12  # not by being wide


def test_every_image_is_counted_by_itself() -> None:
    found = measured(sample("a"), sample("b", ignored=True))
    counts = torch.stack([each.counts for each in found.images]).sum(dim=0)
    assert torch.equal(counts, image_pixels(found.confusion).counts) and len(found.images) == 2


def test_tables_are_written_for_papers(tmp_path: Path) -> None:
    class Both(ByGrey):
        class_names = ()

    request = Request(Both(), [sample("a"), sample("b")], tmp_path, title="t", command="c", pictures=0)  # type: ignore[arg-type]
    outcome = SemanticProtocol()(request)
    assert {"summary.md", "summary.tex"} <= set(outcome.written)
    assert "| mean | 0.646 |" in (tmp_path / "summary.md").read_text()


def test_the_page_has_numbers_and_pictures() -> None:
    shown = sample("a", ignored=True)
    predicted = torch.zeros(16, 32, dtype=torch.int64)
    page = semantic_page(measured(shown), title="t", samples=[shown], predictions={"a": predicted}, command="c")
    html = render(page)
    assert "mIoU" in html and html.count("data:image/png") == 1
    without = semantic_page(measured(shown), title="t", samples=[], predictions={}, command="c")
    assert "data:image/png" not in render(without)
