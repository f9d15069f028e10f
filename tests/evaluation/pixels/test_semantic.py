"""Semantic segmentation measured on a model that knows the truth but for what it is told to mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam_ft.data.collation import Prepare, collate
from sam_ft.evaluation.pixels.page import semantic_page, semantic_table
from sam_ft.evaluation.pixels.semantic import SemanticMeasurement, measure_classes
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
    """A road on the left half, a car of 4x4 on it, and perhaps an unknown top row."""
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
    road = 2 * 256 - 2 * 16 - 16
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
    assert summary["miou"] == found.summary["miou"] and summary["classes"] == found.by_class
    with (tmp_path / "confusion.csv").open(newline="") as file:
        head, *counts = csv.reader(file)
    assert head == ["truth", *NAMES]
    assert [[int(value) for value in row[1:]] for row in counts] == found.confusion.tolist()


def test_the_table_names_the_most_frequent_mistake() -> None:
    table = semantic_table(measured(sample("a")))
    assert table.rows[2] == ["car", "0.000", "3.1 %", "road (100 %)"]
    assert table.rows[3] == ["rare", "", "0.0 %", ""]


def test_the_page_has_numbers_and_pictures() -> None:
    shown = sample("a", ignored=True)
    predicted = torch.zeros(16, 32, dtype=torch.int64)
    page = semantic_page(measured(shown), title="t", samples=[shown], predictions={"a": predicted}, command="c")
    html = render(page)
    assert "mIoU" in html and html.count("data:image/png") == 1
    without = semantic_page(measured(shown), title="t", samples=[], predictions={}, command="c")
    assert "data:image/png" not in render(without)
