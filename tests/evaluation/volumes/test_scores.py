"""Volumes scored on models whose answers are known, and the rules of what counts."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.splits import GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.protocols.request import Request
from sam_ft.evaluation.protocols.volumes import VolumesProtocol
from sam_ft.evaluation.volumes.answers import BOX, VolumeAnswer, classified_volume, prompted_volume
from sam_ft.evaluation.volumes.measuring import measure_volume
from sam_ft.evaluation.volumes.page import class_table
from sam_ft.evaluation.volumes.scores import VolumeMeasurement, VolumeScore, score_class, slice_dices, summarise_class
from sam_ft.metrics.bootstrap import draws
from sam_ft.types import ImageEmbedding

Model = Callable[..., Any]
SPACING = (3.0, 0.5, 1.0)


class ByGrey:
    """The class of a pixel is its grey value, of an image in which labels 0, 1 and 2 are black, grey and white."""

    image_size = 24
    class_names = ()

    def __init__(self, names: tuple[str, ...] = ("background", "label_1", "label_2")) -> None:
        self.pixel_class_names = names

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images)

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        grey = (embedding.features[:, 0] * 58.395 + 123.675) / 255  # (B, S, S) of 0 to 1
        classes = (2 * grey).round().long().clamp(0, 2)
        return torch.nn.functional.one_hot(classes, len(self.pixel_class_names)).permute(0, 3, 1, 2).float()


def save(folder: Path, label: np.ndarray, *, image: np.ndarray | None = None) -> None:
    """A case whose image shows its labels, or what is given; no two cases are the same."""
    folder.mkdir(parents=True)
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    shown = (label if image is None else image).astype(np.int16)
    shown[0, 0, 0] = -ord(folder.name)  # shown as black too
    nibabel.save(nibabel.Nifti1Image(shown, affine), folder / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), folder / "label.nii.gz")


def blocks(*, first: int = 2, classes: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """A box of each class in slices 2 to 5 of 8."""
    label = np.zeros((24, 20, 8), dtype=np.uint8)
    for number in classes:
        label[2 + 10 * (number - 1) : 10 + 10 * (number - 1), 4:12, first : first + 4] = number
    return label


def part(root: Path, *, split: Any = None, **rule: Any) -> VolumeSlices:
    splits = nifti_splits(
        str(root / "*" / "image.nii.gz"),
        str(root / "*" / "label.nii.gz"),
        split=split or GroupSplit(val=["b"], test=["c"]),
        objects=ObjectRule(**rule),
        window=(1.0, 2.0),  # labels 0, 1, 2 become 0, 127, 255
    )
    assert isinstance(splits.test, VolumeSlices)
    return splits.test


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for case in "abc":
        save(tmp_path / "data" / case, blocks())
    return tmp_path / "data"


def request_of(model: Any, samples: Any, output: Path, **settings: Any) -> Request:
    output.mkdir(exist_ok=True)
    return Request(model, samples, output, title="a model", command="sam-ft evaluate", **settings)


def promptable(box_model: Model, **settings: Any) -> Any:
    model = box_model(image_size=24, **settings)
    model.pixel_class_names = ()
    return model


def scored(predicted: Tensor, truth: Tensor) -> VolumeScore:
    return score_class(predicted, truth, spacing_mm=SPACING, tolerance_mm=1.0, volume="v", class_name="c")


def test_a_class_is_scored_over_voxels_and_over_slices() -> None:
    truth, predicted = (torch.zeros(4, 6, 6, dtype=torch.bool) for _ in range(2))
    truth[0, :2], truth[1, :2] = True, True
    predicted[0, :2], predicted[2, 0] = True, True  # one slice right, one missed, one invented
    found = scored(predicted, truth)
    assert found.dice == pytest.approx(2 * 12 / (24 + 18))
    assert found.slice_dice == pytest.approx(1 / 3) and found.num_slices == 3
    assert found.object_slices_dice == pytest.approx(2 * 12 / (24 + 12))
    assert [found.truth_ml, found.predicted_ml] == pytest.approx([24 * 1.5 / 1000, 18 * 1.5 / 1000])
    assert found.difference_ml == pytest.approx(-0.009) and found.relative_difference == pytest.approx(-0.25)
    assert found.absolute_relative_difference == pytest.approx(0.25)
    dices = slice_dices(predicted, truth)
    assert dices[:3] == [1, 0, 0] and math.isnan(dices[3])


def test_an_absent_class_is_not_counted_and_a_missed_one_is_as_far_as_the_volume_is_long() -> None:
    empty, some = torch.zeros(4, 6, 6, dtype=torch.bool), torch.ones(4, 6, 6, dtype=torch.bool)
    absent, missed, invented, right = (
        replace(scored(*pair), volume=name)
        for name, pair in {"a": (empty, empty), "b": (empty, some), "c": (some, empty), "d": (some, some)}.items()
    )
    assert (absent.dice, absent.nsd, absent.hd95_mm, absent.slice_dice, absent.difference_ml) == (None,) * 5
    diagonal = math.sqrt(12**2 + 3**2 + 6**2)
    for one_sided in (missed, invented):
        assert (one_sided.dice, one_sided.nsd, one_sided.slice_dice) == (0, 0, 0)
        assert one_sided.hd95_mm == pytest.approx(diagonal)
    assert invented.relative_difference is None and missed.relative_difference == -1
    summary = summarise_class([absent, missed, invented, right])
    assert summary["dice"] == pytest.approx(1 / 3) and summary["hd95_mm"] == pytest.approx(diagonal * 2 / 3)
    assert summary["absolute_relative_difference"] == pytest.approx(1 / 2)
    counts = [summary[f"num_{name}"] for name in ("volumes", "absent", "missed", "invented")]
    assert counts == [3, 1, 1, 1]


def test_intervals_are_given_from_ten_volumes_on() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[:, :2] = True
    scores = []
    for number in range(10):
        predicted = truth.clone()
        predicted[0, 0, : number % 4] = False
        scores.append(replace(scored(predicted, truth), volume=str(number)))
    few = VolumeMeasurement(scores[:9], tolerance_mm=1.0, prompt="box", num_slices=18)
    assert few.by_class["c"]["intervals"] == few.intervals == {}
    assert "fewer than 10 volumes (the rarest is in 9)" in few.without_intervals
    many = VolumeMeasurement(scores, tolerance_mm=1.0, prompt="box", num_slices=20)
    low, high = many.by_class["c"]["intervals"]["dice"]
    assert low < many.summary["dice"] < high <= 1
    assert many.without_intervals == ""
    assert many.intervals["dice"].ends == pytest.approx((low, high))  # of one class they are its own


def test_intervals_of_means_over_classes_draw_volumes_with_all_their_classes(tmp_path: Path) -> None:
    """Against drawing volume by volume; a class that is in no volume has no part in the mean."""
    truth = torch.ones(1, 4, 4, dtype=torch.bool)
    scores = []
    for number in range(12):
        predicted = truth.clone()
        predicted[0, 0, : number % 4] = False
        common = replace(scored(predicted, truth), volume=str(number))
        rare = replace(common, class_name="rare", dice=0.1 * number if number < 10 else None)
        never = replace(common, class_name="never", dice=None)
        scores += [common, rare, replace(common, class_name="other", dice=1 - 0.05 * number), never]
    measurement = VolumeMeasurement(scores, tolerance_mm=1.0, prompt="box", num_slices=12)
    means = []
    for drawn in torch.cat(list(draws(12))).tolist():
        of_class: dict[str, list[float]] = {}
        for score in scores:
            if score.dice is not None:
                of_class.setdefault(score.class_name, []).extend([score.dice] * int(drawn[int(score.volume)]))
        known = [sum(values) / len(values) for values in of_class.values() if values]
        means += [sum(known) / len(known)] if len(known) == 3 else []
    expected = torch.quantile(torch.tensor(means).double(), torch.tensor([0.025, 0.975]).double()).tolist()
    assert measurement.intervals["dice"].ends == pytest.approx(expected, abs=1e-6)
    measurement.write(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["intervals"]["dice"] == pytest.approx(expected, abs=1e-6)
    mean = class_table(measurement).rows[-1]
    assert mean[0] == "mean" and mean[2] == f"{measurement.summary['dice']:.3f} [{expected[0]:.3f}, {expected[1]:.3f}]"


def volumes_of(dices: Tensor) -> VolumeMeasurement:
    """Dice (V, classes) of volumes; NaN where a class is absent."""
    score = scored(truth := torch.ones(1, 2, 2, dtype=torch.bool), truth)
    scores = [
        replace(score, volume=f"{volume}", class_name=f"{place}", dice=None if dice != dice else dice)
        for volume, row in enumerate(dices.tolist())
        for place, dice in enumerate(row)
    ]
    return VolumeMeasurement(scores, tolerance_mm=1.0, prompt="box", num_slices=len(dices))


def test_means_over_classes_have_no_interval_if_one_is_in_a_few_volumes() -> None:
    dices = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    dices[9:, 2] = torch.nan
    few = volumes_of(dices)
    assert few.intervals == {} and few.by_class["0"]["intervals"]
    assert few.without_intervals.endswith("(the rarest is in 9), nor for means over the classes.")
    dices[9, 2] = 0.5
    enough = volumes_of(dices)
    assert "dice" in enough.intervals and enough.without_intervals == ""
    dices[:, 2] = torch.nan
    absent = volumes_of(dices)
    assert "dice" in absent.intervals and absent.without_intervals.endswith("(the rarest is in 0).")


def test_a_measure_that_is_defined_in_a_few_volumes_has_no_interval() -> None:
    """A relative difference needs a true volume."""
    dices = torch.rand(12, 2, generator=torch.Generator().manual_seed(0))
    measurement = volumes_of(dices)
    scores = [replace(each, truth_ml=0.0) if int(each.volume) < 3 else each for each in measurement.scores]
    found = replace(measurement, scores=scores)
    assert "absolute_relative_difference" in measurement.intervals and "absolute_relative_difference" in found.summary
    assert "dice" in found.intervals and "absolute_relative_difference" not in found.intervals


def test_the_interval_of_a_mean_over_classes_holds_the_mean_and_nearly_always_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)

    def dices(count: int) -> Tensor:
        found = torch.sigmoid(torch.tensor([2.0, 1.0, 0.0, -1.0]) + torch.randn(count, 4, generator=generator))
        return found.masked_fill(torch.rand(count, 4, generator=generator) > 0.6, torch.nan)

    truth = float(dices(100_000).nanmean(dim=0).mean())
    several = [volumes_of(dices(30)).intervals.get("dice") for _ in range(100)]
    found = [interval for interval in several if interval is not None]
    assert len(found) > 90
    assert all(interval.low < interval.mean < interval.high for interval in found)
    assert 0.88 <= sum(interval.low <= truth <= interval.high for interval in found) / len(found) < 1
    assert sum(interval.high - interval.low for interval in found) / len(found) < 0.2  # not by being wide


def test_a_model_that_fills_boxes_is_right_on_boxes(box_model: Model, root: Path, tmp_path: Path) -> None:
    protocol = VolumesProtocol(save_volumes=True)
    outcome = protocol(request_of(promptable(box_model), part(root), tmp_path / "out", pictures=2))
    for name in ("dice", "nsd", "slice_dice"):
        assert outcome.summary[name] == 1
    assert outcome.summary["hd95_mm"] == outcome.summary["difference_ml"] == 0
    assert (outcome.summary["num_volumes"], outcome.summary["num_slices"]) == (1, 4)
    written = nibabel.load(tmp_path / "out" / "volumes" / "c.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), blocks())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["classes"]["label_2"]["num_volumes"] == 1 and summary["prompt"] == "box"
    assert "fewer than 10 volumes (the rarest is in 1)" in summary["without_intervals"]
    assert {"summary.md", "summary.tex"} <= set(outcome.written)
    assert "| label_2 | 1 | 1.000 |" in (tmp_path / "out" / "summary.md").read_text()
    assert r"label\_2 & 1 & 1.000 &" in (tmp_path / "out" / "summary.tex").read_text()
    with (tmp_path / "out" / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["volume"], row["class_name"], row["dice"]) for row in rows] == [
        ("c", "label_1", "1.0"),
        ("c", "label_2", "1.0"),
    ]
    assert float(rows[0]["truth_ml"]) == pytest.approx(8 * 8 * 4 * 3 / 1000)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "with a box for every object" in page and "nothing can be found in others" in page
    assert page.count("<img") == 3


def test_wider_boxes_are_wrong_by_their_margin_in_mm(box_model: Model, root: Path, tmp_path: Path) -> None:
    model = promptable(box_model, margin=1)
    strict = VolumesProtocol(tolerance_mm=0.5)(request_of(model, part(root), tmp_path / "strict", pictures=0)).summary
    lax = VolumesProtocol(tolerance_mm=1.5)(request_of(model, part(root), tmp_path / "lax", pictures=0)).summary
    overlap = 2 * 64 / (64 + 100)
    assert strict["dice"] == lax["dice"] == strict["slice_dice"] == pytest.approx(overlap)
    assert strict["nsd"] < 0.8 < lax["nsd"]
    assert 1 <= strict["hd95_mm"] <= math.sqrt(2)
    assert strict["difference_ml"] == pytest.approx((100 - 64) * 4 * 3 / 1000)


def test_clicks_are_asked_as_often_as_told(box_model: Model, root: Path, tmp_path: Path) -> None:
    """The model draws 5 x 5 pixels about the first click, in the middle of a square of 8 x 8."""
    protocol = VolumesProtocol(prompt="click", clicks=2)
    summary = protocol(request_of(promptable(box_model), part(root), tmp_path / "out", pictures=0)).summary
    assert summary["dice"] == pytest.approx(2 * 25 / (25 + 64))
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["prompt"] == "2 clicks"
    answer = prompted_volume(promptable(box_model), part(root), num_clicks=2)
    boxed = prompted_volume(promptable(box_model), part(root), num_clicks=BOX)
    assert (answer.labels[3] == 1).sum() == 25 and (boxed.labels[3] == 1).sum() == 64


def test_a_model_without_prompts_is_measured_on_slices_without_object_too(root: Path, tmp_path: Path) -> None:
    """It invents an object in a slice that holds none, which no prompted model can."""
    image = blocks()
    image[2:10, 4:12, 7] = 1
    for path in (root / "c").iterdir():
        path.unlink()
    (root / "c").rmdir()
    save(root / "c", blocks(), image=image)
    request = request_of(ByGrey(), part(root), tmp_path / "out", pictures=1)
    outcome = VolumesProtocol(save_volumes=True)(request)
    assert outcome.summary["num_slices"] == 8
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["prompt"] == "none"
    first, second = summary["classes"]["label_1"], summary["classes"]["label_2"]
    assert first["dice"] == pytest.approx(2 * 4 / (4 + 5)) and first["slice_dice"] == pytest.approx(4 / 5)
    assert second["dice"] == second["nsd"] == 1
    assert first["object_slices_dice"] == summary["object_slices_dice"] == 1
    assert summary["left_out"] == {"num_slices": 0, "volumes": []} and outcome.left_out == {"slices": 0, "volumes": 0}
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "out" / "volumes" / "c.nii.gz").dataobj), image)
    assert (
        "without prompts, those that hold no object or too small ones too"
        in (tmp_path / "out" / "index.html").read_text()
    )


def test_what_a_prompted_model_was_not_asked_for_is_written_down(box_model: Model, root: Path, tmp_path: Path) -> None:
    """In the test slab, the last four slices, `d` holds no object, the others hold one in slices 4 and 5."""
    save(root / "d", blocks(first=0))
    slices = part(root, split=SlabSplit(val=(0.0, 0.4), test=(0.5, 1.0), gap_mm=0))
    prompted = VolumesProtocol()(request_of(promptable(box_model), slices, tmp_path / "sam", pictures=0))
    summary = json.loads((tmp_path / "sam" / "summary.json").read_text())
    assert summary["left_out"] == {"num_slices": 3 * 2 + 4, "volumes": ["d"]}
    assert prompted.left_out == {"slices": 10, "volumes": 1} and prompted.images == ["a", "b", "c"]
    assert summary["object_slices_dice"] == summary["dice"] == 1
    classified = VolumesProtocol()(request_of(ByGrey(), slices, tmp_path / "unet", pictures=0))
    assert classified.images == prompted.images and classified.left_out == {"slices": 0, "volumes": 0}


def with_specks() -> np.ndarray:
    """Beside the boxes one pixel of class 1 in slice 3 and one of class 2, which alone are too small, in slice 7."""
    label = blocks(classes=(1,))
    label[20, 15, 3] = 1
    label[20, 15, 7] = 2
    return label


def test_objects_that_are_too_small_are_of_neither_side(box_model: Model, root: Path, tmp_path: Path) -> None:
    """A model that finds them is as good as one that does not; a wrong class and what lies beside them is wrong."""
    save(root / "d", with_specks())
    slices = part(root, kind="components", split=GroupSplit(val=["b"], test=["d"]))
    classified = VolumesProtocol()(request_of(ByGrey(), slices, tmp_path / "unet", pictures=0))
    assert classified.summary["dice"] == classified.summary["nsd"] == 1
    assert classified.summary["num_slices"] == 8 and classified.left_out == {"slices": 0, "volumes": 0}
    prompted = VolumesProtocol()(request_of(promptable(box_model), slices, tmp_path / "sam", pictures=0))
    assert prompted.summary["dice"] == 1 and prompted.left_out == {"slices": 4, "volumes": 0}
    assert prompted.images == classified.images == ["d"]
    every = slices.every_slice()
    answer = classified_volume(ByGrey(), every)
    assert answer.labels[7].sum() == 2 and answer.labels[3].sum() == 65  # it does find them
    answer.labels[7][answer.labels[7] == 2] = 1
    found = measure_volume(every, answer, tolerance_mm=1.0).scores[0]
    assert found.dice == pytest.approx(2 * 256 / (256 + 257))


def test_of_a_union_and_its_parts_each_has_its_own_small_objects(root: Path) -> None:
    """The pixel of class 2 beside a box of class 1 is too small by itself, and a part of their union."""
    label = blocks(classes=(1,))
    label[10, 5, 3] = 2
    save(root / "d", label)
    slices = part(root, classes={"two": 2, "both": [1, 2]}, split=GroupSplit(val=["b"], test=["d"]))
    small = slices.too_small(slices.entries[1])
    assert list(small) == ["two"] and small["two"].sum() == 1
    found = {each.class_name: each for each in measure_volume(slices, VolumeAnswer(), tolerance_mm=1.0).scores}
    assert found["two"].dice is None and found["both"].truth_ml == pytest.approx((4 * 64 + 1) * 3 / 1000)


def test_slices_of_other_parts_are_not_measured(root: Path) -> None:
    """The test slab has no object in its last slices, the others are not its own."""
    split = SlabSplit(val=(0.0, 0.4), test=(0.5, 1.0), gap_mm=0)
    slices = part(root, split=split)
    one = slices.only(lambda entry: entry.volume == 0).with_empty(1.0)
    assert [entry.index for entry in one.entries] == [4, 5, 6, 7]
    found = measure_volume(one, classified_volume(ByGrey(), one), tolerance_mm=1.0)
    assert [score.dice for score in found.scores] == [1, 1]
    assert found.scores[0].truth_ml == pytest.approx(64 * 2 * 3 / 1000)


def test_a_union_of_classes_is_scored_from_its_own_prompts_or_from_its_parts(box_model: Model, root: Path) -> None:
    classes = {"one": 1, "two": 2, "both": [1, 2]}
    slices = part(root, classes=classes)
    prompted = measure_volume(slices, prompted_volume(promptable(box_model), slices), tolerance_mm=1.0)
    dices = {score.class_name: score.dice for score in prompted.scores}
    assert dices["one"] == dices["two"] == 1
    assert dices["both"] == pytest.approx(2 * 128 / (128 + 18 * 8))  # one box around both
    known = ByGrey(("background", "one", "two", "both"))
    classified = measure_volume(slices, classified_volume(known, slices), tolerance_mm=1.0)
    assert [score.dice for score in classified.scores] == [1, 1, 1]


def test_voxels_whose_class_nobody_knows_belong_to_neither_side(box_model: Model, root: Path) -> None:
    """The prediction covers them, and is right all the same."""
    slices = part(root, classes={"one": 1}, ignored=[2])
    wide = promptable(box_model, margin=4)
    found = measure_volume(slices, prompted_volume(wide, slices), tolerance_mm=1.0)
    unknown = slices[0].ignored
    assert unknown is not None
    answer = prompted_volume(wide, slices).labels[slices.entries[0].index] == 1
    assert (answer & unknown.numpy()).any()
    area = int((answer & ~unknown.numpy()).sum())
    assert found.scores[0].dice == pytest.approx(2 * 64 / (64 + area))


def test_what_cannot_be_measured_is_refused(box_model: Model, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="slices of volumes for protocol=volumes"):
        VolumesProtocol()(request_of(promptable(box_model), [], tmp_path / "out"))
    unions = part(root, classes={"both": [1, 2]})
    with pytest.raises(ValueError, match="unions alone"):
        VolumesProtocol(save_volumes=True)(request_of(promptable(box_model), unions, tmp_path / "out"))
    for settings, message in (
        ({"prompt": "mask"}, "box, click"),
        ({"clicks": 0}, "`protocol.clicks`"),
        ({"clicks": 3}, "protocol.prompt=click for protocol.clicks=3, but got prompt=box"),
        ({"tolerance_mm": -1}, "`protocol.tolerance_mm`"),
        ({"save_volumes": 1}, "`protocol.save_volumes`"),
    ):
        with pytest.raises(ValueError, match=message):
            VolumesProtocol(**settings)
