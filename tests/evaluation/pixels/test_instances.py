"""Objects from interiors and boundaries: there and back, and matched with the true ones."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.evaluation.pixels.instances import label_ious, labels_of_instances
from sam_ft.evaluation.protocols.instances import InstancesProtocol
from sam_ft.evaluation.protocols.request import Request
from sam_ft.metrics.detection import mask_ious
from sam_ft.types import ImageEmbedding, Sample

NAMES = ("background", "interior", "boundary")


def sample(name: str = "a", *, num: int = 3) -> Sample:
    """Two squares side by side that touch, and one that is too small for an interior."""
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, 4:14, 2:12] = True
    masks[1, 4:14, 12:22] = True
    masks[2, 24:27, 24:27] = True
    return Sample(torch.zeros(32, 32, 3, dtype=torch.uint8), masks[:num], ("cell",) * num, name)


def classes_of(prepared: Sample) -> np.ndarray:
    """The class of each pixel as a model is taught it."""
    classes = np.zeros(prepared.masks.shape[1:], dtype=np.int64)
    for name, mask in zip(prepared.class_names, prepared.masks.numpy(), strict=True):
        classes[mask] = NAMES.index(name)
    return classes


class Knows:
    """Answers with given classes, image by image."""

    image_size = 32
    class_names = ()
    pixel_class_names: tuple[str, ...] = NAMES

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = list(answers)

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images)

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        answers = torch.from_numpy(np.stack([self.answers.pop(0) for _ in embedding.features]))
        return 10.0 * torch.nn.functional.one_hot(answers, 3).permute(0, 3, 1, 2).float()


def request_of(model: Any, samples: Any, output: Path) -> Request:
    return Request(model, samples, output, title="a model", command="sam-ft evaluate", pictures=1, batch_size=2)


def test_what_is_taken_apart_comes_together_again() -> None:
    """Nothing is lost, neither where two objects touch nor of one that is all boundary but for its middle."""
    own = sample()
    (taken,) = BoundarySamples([own], boundary_px=2)  # type: ignore[arg-type]
    assert taken.class_names == ("interior", "boundary")
    interior, boundary = taken.masks
    assert not (interior & boundary).any() and torch.equal(interior | boundary, own.masks.any(dim=0))
    assert interior[6:12, 4:10].all() and int(interior.sum()) == 2 * 36 + 1
    labels = labels_of_instances(classes_of(taken), classes=(1, 2), boundary_px=2)
    assert labels.max() == 3
    ious = label_ious(labels, own.masks.numpy())
    assert sorted(ious.max(axis=0).tolist()) == [1, 1, 1]


def test_an_image_without_objects_has_neither() -> None:
    (taken,) = BoundarySamples([sample(num=0)], boundary_px=2)  # type: ignore[arg-type]
    assert taken.masks.shape == (0, 32, 32) and taken.class_names == ()
    labels = labels_of_instances(classes_of(taken), classes=(1, 2), boundary_px=2)
    assert label_ious(labels, taken.masks.numpy()).shape == (0, 0)


def test_boundary_far_from_any_interior_belongs_to_nothing() -> None:
    classes = np.zeros((16, 16), dtype=np.int64)
    classes[2:5, 2:5], classes[2:5, 5:12] = 1, 2
    labels = labels_of_instances(classes, classes=(1, 2), boundary_px=1)
    assert (labels[3, 2:7] == 1).all() and not labels[3, 7:].any()


def test_ious_of_labels_are_those_of_their_masks() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, (12, 14)).astype(np.int32)
    masks = generator.random((6, 12, 14)) > 0.8
    own = torch.from_numpy(np.stack([labels == number for number in range(1, 5)]))
    expected = mask_ious(own, torch.from_numpy(masks)).numpy()
    np.testing.assert_allclose(label_ious(labels, masks), expected, atol=1e-6)
    unknown = torch.from_numpy((generator.random((12, 14)) > 0.5) & ~masks.any(axis=0))
    assert unknown.any()
    expected = mask_ious(own & ~unknown, torch.from_numpy(masks)).numpy()
    np.testing.assert_allclose(label_ious(labels, masks, unknown=unknown), expected, atol=1e-6)


def test_objects_are_matched_and_written(tmp_path: Path) -> None:
    """Of the first image all is right; of the second both squares are taken for one, and the third is missed."""
    samples = BoundarySamples([sample("a"), sample("b")], boundary_px=2)  # type: ignore[arg-type]
    first, merged = (classes_of(each) for each in samples)
    merged[6:12, 4:20] = 1
    merged[24:27, 24:27] = 0
    outcome = InstancesProtocol()(request_of(Knows(first, merged), samples, tmp_path))
    half = 100 / 200
    assert outcome.summary["best_iou"] == pytest.approx((3 + 2 * half) / 6)
    at_one_half = 1 / (1 + 0 + 2)  # one pair of IoU 0.5, two objects without a partner; nothing above 0.5
    assert outcome.summary["msa"] == pytest.approx((1 + at_one_half / 10) / 2)
    assert (outcome.summary["num_objects"], outcome.summary["num_found"], outcome.summary["num_images"]) == (6, 4, 2)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["intervals"] == {}  # two images are too few
    assert "95 %" not in (tmp_path / "index.html").read_text()
    assert f"| mSA | {outcome.summary['msa']:.3f} | 2 images |" in (tmp_path / "summary.md").read_text()
    assert {"summary.md", "summary.tex"} <= set(outcome.written)
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["best_iou"]) for row in rows] == [1, 1, 1, half, half, 0]
    assert (tmp_path / "index.html").read_text().count("<img") == 2


@pytest.mark.parametrize("rows, is_excused", [(2, False), (3, True)])
def test_a_found_object_that_nobody_knows_is_neither_right_nor_wrong(
    tmp_path: Path, rows: int, is_excused: bool
) -> None:
    """An invented square of 4 x 4 pixels, of which half or more is ignored; objects are known all the same."""
    ignored = torch.zeros(32, 32, dtype=torch.bool)
    ignored[26 : 26 + rows, 2:6] = True
    ignored[4:14, 2:12] = True  # where an object lies
    samples = BoundarySamples([replace(sample(), ignored=ignored)], boundary_px=2)  # type: ignore[arg-type]
    answer = classes_of(samples[0])
    answer[26:30, 2:6] = 1
    outcome = InstancesProtocol()(request_of(Knows(answer), samples, tmp_path))
    assert outcome.summary["num_found"] == (3 if is_excused else 4)
    assert outcome.summary["msa"] == (1 if is_excused else 3 / 4)


@pytest.mark.parametrize("width", [9, 11])
def test_unknown_pixels_make_no_answer_worse(tmp_path: Path, width: int) -> None:
    """A square of 100 pixels, found with 90 or 110 unknown ones beside it: all that is known of it is right."""
    ignored = torch.zeros(32, 32, dtype=torch.bool)
    ignored[4:14, 12 : 12 + width] = True
    samples = BoundarySamples([replace(sample(num=1), ignored=ignored)], boundary_px=2)  # type: ignore[arg-type]
    answer = classes_of(samples[0])
    answer[4:14, 2 : 12 + width] = 1
    outcome = InstancesProtocol()(request_of(Knows(answer), samples, tmp_path))
    assert (outcome.summary["best_iou"], outcome.summary["msa"]) == (1, 1)
    assert outcome.summary["num_found"] == 1


def test_ten_images_have_intervals(tmp_path: Path) -> None:
    samples = BoundarySamples([sample(str(number)) for number in range(10)], boundary_px=2)  # type: ignore[arg-type]
    answers = [classes_of(each) for each in samples]
    for number, answer in enumerate(answers):
        answer[4 : 4 + number % 4] = 0  # rows of both squares are missed
    outcome = InstancesProtocol()(request_of(Knows(*answers), samples, tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    for key in ("best_iou", "msa"):
        low, high = summary["intervals"][key]
        assert low < summary[key] < high and outcome.intervals[key] == (low, high)
        assert f"{summary[key]:.3f} [{low:.3f}, {high:.3f}]" in (tmp_path / "summary.md").read_text()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = Knows()
    with pytest.raises(ValueError, match="data=boundaries for protocol=instances"):
        InstancesProtocol()(request_of(model, [sample()], tmp_path))
    model.pixel_class_names = ("background", "cell")
    samples = BoundarySamples([sample()], boundary_px=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="interior and boundary, as data=boundaries teaches them, but got cell"):
        InstancesProtocol()(request_of(model, samples, tmp_path))
