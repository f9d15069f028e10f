"""Masks of everything compared with objects: by hand, and against a brute force on a real model's proposals."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.checkpoints import load_model
from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.collation import Prepare, collate
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.everything import automatic_image
from sam_ft.evaluation.everything.automatic import AutomaticMeasurement, measure_automatic
from sam_ft.evaluation.everything.automatic_image import ComparedImage, GeneratorSettings, compare_image
from sam_ft.evaluation.everything.page import automatic_page, automatic_tables, coloured, filter_table
from sam_ft.evaluation.protocols.automatic import AutomaticProtocol
from sam_ft.evaluation.protocols.interactive import InteractiveProtocol
from sam_ft.evaluation.protocols.request import Request
from sam_ft.inference.proposals import Filtered, Proposals, propose, select
from sam_ft.metrics.average_precision import average_recall
from sam_ft.metrics.bootstrap import draws
from sam_ft.metrics.detection import IOU_THRESHOLDS, detection_accuracy, greedy_pairs, mask_ious, overlapping_pairs
from sam_ft.metrics.resampled_precision import resampled_precisions
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.pages.html import render
from sam_ft.transforms import Frame
from sam_ft.types import Sample, blank_image

Square = tuple[int, int, int]  # column, row and side in cells of 4 x 4 pixels
CELLS = 16


def pixels(*squares: Square) -> Tensor:
    """(N, 64, 64) bool."""
    masks = torch.zeros(len(squares), 4 * CELLS, 4 * CELLS, dtype=torch.bool)
    for mask, (x, y, side) in zip(masks, squares, strict=True):
        mask[4 * y : 4 * (y + side), 4 * x : 4 * (x + side)] = True
    return masks


def sample_of(*squares: Square, ignored: Square | None = None) -> Sample:
    return Sample(
        image=blank_image(64, 64),
        masks=pixels(*squares),
        class_names=("square",) * len(squares),
        name="squares",
        ignored=None if ignored is None else pixels(ignored)[0],
    )


def proposed(*squares: Square, predicted: list[float], stability: list[float] | None = None) -> Proposals:
    """What a model could have proposed; its logits are as fine as the source, so that the masks are exact squares."""
    boxes = [[4 * x, 4 * y, 4 * (x + side) - 1, 4 * (y + side) - 1] for x, y, side in squares]
    return Proposals(
        frame=Frame((64, 64), 64),
        points_xy=torch.zeros(len(squares), 2),
        low_res_logits=torch.where(pixels(*squares), 9.0, -9.0),
        iou_predictions=torch.tensor(predicted),
        stability_scores=torch.tensor(stability or [1.0] * len(squares)),
        boxes_xyxy=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
    )


def compared(proposals: Proposals, sample: Sample) -> ComparedImage:
    return compare_image(proposals, sample, GeneratorSettings())[0]


def measured(*images: ComparedImage) -> AutomaticMeasurement:
    return AutomaticMeasurement(images=images, settings=GeneratorSettings())


FIRST, SECOND, ELSEWHERE = (0, 0, 4), (8, 0, 4), (8, 8, 4)


def test_what_is_found_and_what_is_wrong_count_as_they_should() -> None:
    """One object is found exactly, one is missed, one mask shows nothing that is marked."""
    image = compared(proposed(FIRST, ELSEWHERE, predicted=[0.9, 0.95]), sample_of(FIRST, SECOND))
    summary = measured(image).summary
    assert image.accuracy == summary["msa"] == pytest.approx(1 / 3)
    assert (summary["pq"], summary["sq"], summary["rq"]) == pytest.approx((0.5, 1, 0.5))
    assert summary["ap"] == pytest.approx(0.5 * 51 / 101)  # precision 1/2 up to recall 1/2
    assert summary["ar@10"] == 0.5
    assert (summary["num_objects"], summary["num_masks"], summary["num_proposals"]) == (2, 2, 2)
    assert "ar@1000_large" not in summary and summary["ar@1000_small"] == 0.5
    found, missed = image.objects
    assert (found.best_kept_iou, found.best_proposal_iou, found.area_px) == (1, 1, 256)
    assert found.predicted_iou == pytest.approx(0.9) and missed.best_proposal_iou == 0


def test_recall_is_of_the_proposals_and_the_rest_of_what_passes_the_thresholds() -> None:
    """The mask of the second object is dropped by its predicted IoU, and that of the first by its stability."""
    proposals = proposed(FIRST, SECOND, predicted=[0.9, 0.2], stability=[0.3, 1.0])
    image = compared(proposals, sample_of(FIRST, SECOND))
    summary = measured(image).summary
    assert summary["ar@10"] == 1 and summary["msa"] == summary["ap"] == summary["pq"] == 0
    assert image.filtered == Filtered(2, 0, pred_iou=1, stability_score=1, overlap=0, selected=0)
    assert [record.best_kept_iou for record in image.objects] == [0, 0]
    assert [record.stability_score for record in image.objects] == pytest.approx([0.3, 1.0])


def test_proposals_are_ranked_by_the_mean_of_both_scores_and_kept_masks_by_the_predicted_iou() -> None:
    proposals = proposed(FIRST, SECOND, ELSEWHERE, predicted=[0.95, 0.9, 0.2], stability=[0.96, 1.0, 0.5])
    image = compared(proposals, sample_of(FIRST))
    assert image.kept.scores.tolist() == pytest.approx([0.95, 0.9])
    assert image.proposals["all"].scores.tolist() == pytest.approx([0.955, 0.95, 0.35])
    swapped = compared(replace(proposals, stability_scores=torch.tensor([0.95, 1.01, 0.5])), sample_of(FIRST))
    assert swapped.proposals["all"].hits[0].tolist() == [False, True, False]
    assert measured(swapped).recall_curves["all"][:2] == [(1, 0), (2, 1)]


def test_a_mask_that_a_dropped_one_would_suppress_is_kept_and_no_proposal() -> None:
    """Suppression comes last: an unstable mask with a better prediction does not stand in the way of what is kept."""
    proposals = proposed((0, 0, 8), (0, 0, 9), predicted=[0.95, 0.9], stability=[0.1, 1.0])
    image = compared(proposals, sample_of((0, 0, 9)))
    assert image.accuracy == 1 and image.filtered.selected == 1
    assert image.proposals["all"].scores.tolist() == pytest.approx([0.525])
    assert image.proposals["all"].hits[:, 0].tolist() == [True] * 6 + [False] * 4  # 64 of 81 cells
    assert image.objects[0].best_kept_iou == image.objects[0].best_proposal_iou == 1


def test_a_pixel_that_two_kept_masks_claim_is_of_the_better_one_for_panoptic_quality() -> None:
    """The large square loses the small one's pixels: 48 of 64 cells are left of it."""
    large, small = (0, 0, 8), (4, 4, 4)
    proposals = proposed(large, small, predicted=[0.9, 0.95])
    image, segments = compare_image(proposals, sample_of(large, small), GeneratorSettings())
    assert image.accuracy == 1 and image.panoptic.true_positives == 2
    assert image.panoptic.iou_sum == pytest.approx(1 + 48 / 64)
    assert np.unique(segments, return_counts=True)[1].tolist() == [64 * 64 - 64 * 16, 256, 48 * 16]


def test_a_mask_where_nobody_knows_anything_is_not_wrong() -> None:
    proposals = proposed(FIRST, ELSEWHERE, predicted=[0.9, 0.95])
    known, unknown = sample_of(FIRST), sample_of(FIRST, ignored=(8, 8, 5))
    assert compared(proposals, known).accuracy == pytest.approx(1 / 2)
    image = compared(proposals, unknown)
    summary = measured(image).summary
    assert image.accuracy == summary["ap"] == summary["pq"] == 1
    half = compared(proposals, sample_of(FIRST, ignored=(8, 8, 2)))  # a quarter of the mask
    assert half.accuracy == pytest.approx(1 / 2) and half.panoptic.false_positives == 1


@pytest.mark.parametrize("side", [5, 6])
def test_unknown_pixels_make_a_mask_no_worse_but_for_average_precision(side: int) -> None:
    """A mask that is an object and unknown cells, 9 beside 16 or 20 beside 16; COCO has these in its area."""
    proposals, sample = proposed((0, 0, side), predicted=[0.9]), sample_of(FIRST, ignored=(0, 0, 8))
    image, segments = compare_image(proposals, sample, GeneratorSettings())
    summary = measured(image).summary
    assert image.accuracy == summary["pq"] == 1
    (found,) = image.objects
    assert found.best_kept_iou == found.best_proposal_iou == 1
    assert image.kept.hits[:, 0].tolist() == [16 / side**2 >= threshold for threshold in IOU_THRESHOLDS]
    assert set(coloured(sample, segments)[1].unique().tolist()) == {0, 1}


def test_a_mask_that_has_no_pixel_at_the_source_is_none() -> None:
    proposals = proposed(FIRST, SECOND, predicted=[0.9, 0.95])
    logits = proposals.low_res_logits[:, ::4, ::4].clone()
    logits[1] = -9.0
    logits[1, 2, 9] = 0.01  # lost between its neighbours
    image = compared(replace(proposals, low_res_logits=logits), sample_of(FIRST))
    assert image.filtered == Filtered(2, empty=1, pred_iou=0, stability_score=0, overlap=0, selected=1)
    assert image.accuracy == 1 and len(image.proposals["all"].scores) == 1 and len(image.kept.scores) == 1


def test_images_without_objects_or_without_masks() -> None:
    nothing, square = proposed(predicted=[]), proposed(FIRST, predicted=[0.9])
    assert compared(nothing, sample_of()).accuracy == 1
    assert compared(square, sample_of()).accuracy == 0
    missed = compared(nothing, sample_of(FIRST))
    assert missed.accuracy == 0 and missed.objects[0].predicted_iou is None
    with pytest.raises(ValueError, match="at least one object to find, but got none in 1 images"):
        _ = measured(compared(square, sample_of())).summary


def test_objects_are_small_medium_or_large_by_their_pixels() -> None:
    proposals = proposed((0, 0, 4), (6, 0, 10), predicted=[0.9, 0.2])
    sizes = measured(compared(proposals, sample_of((0, 0, 4), (6, 0, 10), (0, 6, 5)))).by_size
    assert {name: found["num_objects"] for name, found in sizes.items()} == {
        "all": 3, "small": 2, "medium": 1, "large": 0,
    }  # fmt: skip
    assert (sizes["small"]["ar@10"], sizes["medium"]["ar@10"], sizes["large"]["ar@10"]) == (0.5, 1, None)


@pytest.fixture(scope="module")
def model() -> Sam:
    return load_model("vit_tiny_phantoms", image_size=128)


@pytest.fixture(scope="module")
def wide(model: Sam) -> tuple[Proposals, Sample]:
    """A real model's proposals for an image that is not square; some of them, moved, are the truth."""
    image = torch.randint(0, 255, (40, 72, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    frame = Frame((40, 72), 128)
    model.eval()
    with torch.inference_mode():
        embedding = model.encode_image(frame.image_to_frame(image)[None])
    proposals = propose(model, embedding, frame, points_per_side=6)
    chosen = select(proposals, pred_iou_thresh=0, stability_score_thresh=0).indices[1::3]
    masks = (frame.logits_to_source(proposals.low_res_logits[chosen]) > 0).roll(1, dims=-1)
    masks = masks[masks.flatten(1).any(dim=1)]
    return proposals, Sample(image=image, masks=masks.clone(), class_names=("a",) * len(masks), name="wide")


def middle_thresholds(proposals: Proposals) -> GeneratorSettings:
    return GeneratorSettings(
        pred_iou_thresh=proposals.iou_predictions.median().item(), stability_score_thresh=0.5, box_nms_thresh=0.8
    )


def test_masks_are_measured_at_the_source_as_a_brute_force_does(wide: tuple[Proposals, Sample]) -> None:
    proposals, sample = wide
    settings = middle_thresholds(proposals)
    image, segments = compare_image(proposals, sample, settings)
    kept = select(
        proposals, pred_iou_thresh=settings.pred_iou_thresh, stability_score_thresh=0.5, box_nms_thresh=0.8
    ).indices
    masks = proposals.frame.logits_to_source(proposals.low_res_logits[kept]) > 0
    ious = mask_ious(masks, sample.masks)
    matched = greedy_pairs(overlapping_pairs(ious))
    assert len(matched) > 1 and len(masks) > len(matched)
    score = detection_accuracy(matched, num_masks=len(masks), num_objects=len(sample.masks))
    assert image.accuracy == pytest.approx(score)
    assert [each.best_kept_iou for each in image.objects] == pytest.approx(ious.amax(dim=0).tolist(), abs=1e-6)
    assert np.array_equal(segments > 0, masks.any(dim=0).numpy())
    every = select(proposals, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.8).indices
    either = torch.cat([every, kept])
    ious = mask_ious(proposals.frame.logits_to_source(proposals.low_res_logits[either]) > 0, sample.masks)
    assert [each.best_proposal_iou for each in image.objects] == pytest.approx(ious.amax(dim=0).tolist(), abs=1e-6)


def test_one_mask_at_a_time_gives_what_many_at_once_give(
    wide: tuple[Proposals, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = middle_thresholds(wide[0])
    together, segments = compare_image(*wide, settings)
    monkeypatch.setattr(automatic_image, "_PIXELS_AT_ONCE", 1)
    alone, same_segments = compare_image(*wide, settings)
    assert together.objects == alone.objects and together.panoptic == alone.panoptic
    assert np.array_equal(segments, same_segments)


def test_no_more_than_so_many_proposals_are_measured(
    wide: tuple[Proposals, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = middle_thresholds(wide[0])
    every, _ = compare_image(*wide, settings)
    monkeypatch.setattr(automatic_image, "MOST_PROPOSALS", 3)
    few, _ = compare_image(*wide, settings)
    assert torch.equal(few.proposals["all"].scores, every.proposals["all"].scores[:3])
    assert few.accuracy == every.accuracy and torch.equal(few.kept.hits, every.kept.hits)


@pytest.fixture(scope="module")
def measurement(model: Sam) -> AutomaticMeasurement:
    return run(model, batch_size=2)


SAMPLES = Synthetic(3, image_size=64)


def run(model: Sam, *, batch_size: int, shown: int = 2) -> AutomaticMeasurement:
    prepared = [Prepare(model.image_size)(SAMPLES[index]) for index in range(3)]
    batches = [collate(prepared[first : first + batch_size]) for first in range(0, 3, batch_size)]
    settings = GeneratorSettings(points_per_side=4, pred_iou_thresh=0.1, stability_score_thresh=0.1)
    names = [SAMPLES[index].name for index in range(shown)]
    return measure_automatic(model, batches, settings=settings, shown=names)


def test_batches_of_any_size_give_the_same_and_leave_the_model_as_it_was(
    model: Sam, measurement: AutomaticMeasurement
) -> None:
    model.train()
    alone = run(model, batch_size=1)
    assert model.training
    assert alone.summary == pytest.approx(measurement.summary, abs=1e-6)
    assert alone.summary["ar@1000"] > 0 and 0 < alone.filtered.selected < alone.filtered.proposals
    assert measurement.segments.keys() == {SAMPLES[0].name, SAMPLES[1].name}


def test_the_folder_has_a_summary_and_a_row_for_each_object(measurement: AutomaticMeasurement, tmp_path: Path) -> None:
    measurement.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {name: summary[name] for name in measurement.summary} == measurement.summary
    assert summary["intervals"] == summary["sizes"]["all"]["intervals"] == {}  # of three images
    assert summary["settings"]["points_per_side"] == 4 and summary["filters"]["proposals"] == 3 * 48
    assert summary["sizes"]["all"]["ar@100"] == summary["ar@100"]
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    areas = [int(mask.sum()) for index in range(3) for mask in SAMPLES[index].masks]
    assert [int(row["area_px"]) for row in rows] == areas
    assert all(float(row["best_kept_iou"]) <= 1 and row["class_name"] for row in rows)


def test_the_page_has_the_numbers_the_curve_the_filters_and_the_pictures(measurement: AutomaticMeasurement) -> None:
    shown = [SAMPLES[0], SAMPLES[1]]
    html = render(automatic_page(measurement, title="a <b>", samples=shown, command="sam-ft evaluate"))
    for key in ("ar@10", "ar@1000", "msa", "ap75", "sq"):
        assert f"{measurement.summary[key]:.3f}" in html
    assert html.count("<img") == 1 + 3 * 2 and "a &lt;b&gt;" in html
    assert "nobody marked counts as wrong" in html and f"Of {3 * 48} masks" in html
    without = render(automatic_page(measurement, title="t", samples=[], command="c"))
    assert without.count("<img") == 1 and "Pictures" not in without


def test_intervals_of_everything_are_those_of_images_that_are_really_drawn(tmp_path: Path) -> None:
    """Against measuring each resample anew, image by image."""
    generator = np.random.default_rng(0)
    images = []
    for number in range(12):
        squares = [(int(x), int(y), 4) for x, y in generator.integers(0, 12, (3, 2))]
        moved = [(x + int(generator.integers(0, 2)), y, 4 + (x + number) % 2) for x, y, _ in squares[: number % 4]]
        proposals = proposed(*moved, predicted=[0.9 + 0.01 * float(each) for each in generator.random(len(moved))])
        images.append(replace(compared(proposals, sample_of(*squares)), image=str(number)))
    found = measured(*images)
    keys = ["ar@10", "ar@100", "ar@1000", "ar@1000_small", "msa", "ap", "ap50", "ap75", "pq", "sq", "rq"]
    assert sorted(found.intervals) == sorted(keys)
    drawn = []
    for times in torch.cat(list(draws(12))).tolist():
        several = [image for image, count in zip(images, times, strict=True) for _ in range(int(count))]
        panoptic = reduce(add, (image.panoptic for image in several))
        drawn.append(
            {
                "ar@10": average_recall([image.proposals["small"] for image in several], max_detections=10),
                "msa": sum(image.accuracy for image in several) / len(several),
                "pq": panoptic.panoptic_quality,
                "sq": panoptic.segmentation_quality,
                "rq": panoptic.recognition_quality,
            }
        )
    for key in drawn[0]:
        values = torch.tensor([each[key] for each in drawn], dtype=torch.float64)
        ends = torch.quantile(values, torch.tensor([0.025, 0.975]).double()).tolist()
        assert found.intervals[key].ends == pytest.approx(ends, abs=1e-6), key
    precisions = resampled_precisions([image.kept for image in images], draws(12, num_resamples=1000))  # tested apart
    ends = torch.quantile(precisions.mean(dim=1), torch.tensor([0.025, 0.975]).double()).tolist()
    assert found.intervals["ap"].ends == pytest.approx(ends)
    assert all(found.intervals[key].low < found.summary[key] < found.intervals[key].high for key in ("ap50", "ap75"))
    found.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["sizes"]["small"]["intervals"]["ar@10"] == list(found.intervals["ar@10"].ends)
    assert summary["sizes"]["large"]["intervals"] == {} and summary["intervals"].keys() == set(keys)
    results, recalls = automatic_tables(found)
    ap = found.intervals["ap"]
    assert ["AP", f"{ap.mean:.3f} [{ap.low:.3f}, {ap.high:.3f}]"] in [row[:2] for row in results.rows]
    assert recalls.rows[1][0] == "small" and "[" in recalls.rows[1][2] and recalls.rows[3][2] == ""


def test_precision_and_panoptic_quality_have_intervals_if_ten_images_hold_an_object() -> None:
    empty = compared(proposed(predicted=[]), sample_of())
    full = compared(proposed(FIRST, ELSEWHERE, predicted=[0.9, 0.95]), sample_of(FIRST, SECOND))

    def among(count: int) -> AutomaticMeasurement:
        images = [full] * count + [empty] * (20 - count)
        return measured(*(replace(image, image=str(number)) for number, image in enumerate(images)))

    assert among(9).intervals.keys() == {"msa"}
    assert {"msa", "ap", "ap50", "ap75", "pq", "sq", "rq", "ar@10"} <= among(10).intervals.keys()


def test_the_filters_are_told_one_after_the_other() -> None:
    table = filter_table(Filtered(1200, empty=100, pred_iou=600, stability_score=300, overlap=150, selected=50))
    assert [row[1:] for row in table.rows] == [["100", "1,100"], ["600", "500"], ["300", "200"], ["150", "50"]]


def test_an_object_and_the_mask_that_finds_it_have_one_colour() -> None:
    sample = sample_of((0, 0, 8), FIRST, SECOND)
    segments = np.zeros((64, 64), dtype=np.int32)
    for number, mask in enumerate(pixels(ELSEWHERE, SECOND).numpy(), start=1):
        segments[mask] = number
    truth, kept = coloured(sample, segments)
    assert (truth[0, 0], truth[20, 20], truth[0, 40]) == (2, 1, 3)  # the small square lies above the large one
    assert (kept[40, 40], kept[0, 40], kept[0, 0]) == (-1, 3, 0)


@pytest.mark.parametrize(
    "settings", [{"points_per_side": 0}, {"pred_iou_thresh": -1}, {"stability_score_thresh": "high"}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GeneratorSettings(**settings)  # type: ignore[arg-type]


def test_a_model_that_is_not_prompted_is_refused(tmp_path: Path) -> None:
    model = build_model("vit_tiny", image_size=64)
    add_semantic_head(model, ["background", "cell"])
    request = Request(model=model, samples=SAMPLES, output=tmp_path, title="t", command="c")
    for protocol in (AutomaticProtocol(), InteractiveProtocol()):
        with pytest.raises(ValueError, match=r"takes prompts for this protocol.*: protocol=semantic\."):
            protocol(request)
    taken_apart = replace(request, samples=BoundarySamples(SAMPLES, boundary_px=2))
    with pytest.raises(ValueError, match="protocol=instances or protocol=semantic"):
        AutomaticProtocol()(taken_apart)


def test_a_threshold_is_the_given_one_then_that_of_the_file_then_segment_anythings(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"pred_iou_thresh": 0.3, "stability_score_thresh": 0.4, "box_nms_thresh": 0.6}))
    assert AutomaticProtocol().settings() == GeneratorSettings(32, 0.88, 0.95, 0.7)
    assert AutomaticProtocol(thresholds_file=str(path)).settings() == GeneratorSettings(32, 0.3, 0.4, 0.6)
    chosen = AutomaticProtocol(points_per_side=8, pred_iou_thresh=0.0, thresholds_file=str(path)).settings()
    assert chosen == GeneratorSettings(8, 0.0, 0.4, 0.6)
