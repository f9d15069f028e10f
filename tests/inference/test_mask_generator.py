from __future__ import annotations

import json

import numpy as np
import pytest

from sam_ft import Execution, MaskFilters, SamAutomaticMaskGenerator, load_model
from sam_ft.data.phantoms import Phantoms
from sam_ft.inference.found_masks import Removed
from sam_ft.models.sam.model import Sam

LENIENT = {"pred_iou_thresh": 0.4, "stability_score_thresh": 0.5}


@pytest.fixture(scope="module")
def model() -> Sam:
    return load_model("vit_tiny_phantoms", image_size=128)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return Phantoms(40, image_size=128, seed=1)[3].image.numpy()[:100]


def test_records_have_the_originals_fields_and_json_can_hold_them(model: Sam, image: np.ndarray) -> None:
    records = SamAutomaticMaskGenerator(model, points_per_side=6, output_mode="coco_rle", **LENIENT).generate(image)
    assert list(records[0]) == [
        "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box",
    ]  # fmt: skip
    assert json.loads(json.dumps(records)) == records
    assert all(record["crop_box"] == [0, 0, 128, 100] for record in records)
    masks = SamAutomaticMaskGenerator(model, points_per_side=6, **LENIENT).generate(image)
    for record, other in zip(masks, records, strict=True):
        assert record["segmentation"].shape == (100, 128) and record["segmentation"].dtype == bool
        assert record["area"] == record["segmentation"].sum() == other["area"]
        rows, columns = np.nonzero(record["segmentation"])
        x, y, width, height = record["bbox"]
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max(), rows.max())


def test_selecting_from_proposals_is_generating_with_other_thresholds(model: Sam, image: np.ndarray) -> None:
    generator = SamAutomaticMaskGenerator(model, points_per_side=6, crop_n_layers=1, crop_nms_thresh=0.6)
    found = generator.propose(image)
    assert len(found) > 150
    for iou, stability in ((0.3, 0.4), (0.5, 0.6), (0.6, 0.0)):
        filters = MaskFilters(pred_iou_thresh=iou, stability_score_thresh=stability, crop_nms_thresh=0.6)
        selected = generator.select(found, filters)
        direct = SamAutomaticMaskGenerator(
            model,
            points_per_side=6,
            crop_n_layers=1,
            pred_iou_thresh=iou,
            stability_score_thresh=stability,
            crop_nms_thresh=0.6,
        )
        records = direct.generate(image)
        assert selected.points_xy.tolist() == [record["point_coords"][0] for record in records]
        assert np.allclose(selected.predicted_iou, [record["predicted_iou"] for record in records])
        removed = selected.removed
        assert removed.proposals == 3 * (36 + 4 * 36) and removed.kept == len(records)
        assert direct.removed is not None and direct.removed.kept == len(records)


def test_explain_adds_up(model: Sam, image: np.ndarray) -> None:
    generator = SamAutomaticMaskGenerator(model, points_per_side=6, **LENIENT)
    with pytest.raises(RuntimeError, match="generate"):
        generator.explain()
    kept = len(generator.generate(image))
    lines = generator.explain().splitlines()
    numbers = [int(line.split()[0].replace(",", "")) for line in lines]
    assert lines[0].endswith("proposals") and lines[-1].endswith("masks")
    assert numbers[0] == 108 and numbers[-1] == kept == sum(numbers[:-1])
    assert any("predicted IoU of 0.4 or less" in line for line in lines)


def test_a_refined_mask_answers_the_point_and_the_first_mask(model: Sam, image: np.ndarray) -> None:
    plain = SamAutomaticMaskGenerator(model, points_per_side=4).propose(image)
    refined = SamAutomaticMaskGenerator(model, points_per_side=4, use_m2m=True).propose(image)
    assert len(plain) == len(refined) == 48
    assert not np.allclose(plain.predicted_iou, refined.predicted_iou, atol=1e-3)


def test_batches_and_bfloat16_do_not_matter_much(model: Sam, image: np.ndarray) -> None:
    alone = SamAutomaticMaskGenerator(model, points_per_side=5).propose(image)
    by_seven = SamAutomaticMaskGenerator(model, points_per_side=5, points_per_batch=7).propose(image)
    assert np.allclose(alone.predicted_iou, by_seven.predicted_iou, atol=1e-5)
    assert np.array_equal(alone.points_xy, by_seven.points_xy)
    quick = SamAutomaticMaskGenerator(model, points_per_side=5, execution=Execution(bf16=True)).propose(image)
    assert 0 < np.abs(alone.predicted_iou - quick.predicted_iou).max() < 0.1


def test_calibrated_thresholds_find_more_of_labelled_images(model: Sam) -> None:
    drawn = Phantoms(12, image_size=128, seed=5)
    generator = SamAutomaticMaskGenerator(model, points_per_side=8, min_mask_region_area=9)
    before = len(generator.generate(drawn[7].image.numpy()))
    fitted = generator.calibrate([drawn[index] for index in range(4)], points_per_side=8)
    assert fitted.best.score > fitted.defaults.score
    assert generator.filters.pred_iou_thresh == fitted.best.thresholds.pred_iou_thresh < 0.88
    assert generator.filters.min_mask_region_area == 9
    assert len(generator.generate(drawn[7].image.numpy())) > before


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (64, 64), (50, 40, 4)])
def test_images_of_any_kind_are_taken(model: Sam, shape: tuple[int, ...]) -> None:
    for mode in ("binary_mask", "uncompressed_rle", "coco_rle"):
        generator = SamAutomaticMaskGenerator(model, points_per_side=2, min_mask_region_area=5, output_mode=mode)
        assert isinstance(generator.generate(np.zeros(shape, dtype=np.uint8)), list)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_mode": "png"}, "output_mode"),
        ({"points_per_side": None}, "either"),
        ({"point_grids": [np.ones((1, 2))]}, "either"),
        ({"points_per_side": 0}, "points_per_side"),
        ({"points_per_batch": 0}, "points_per_batch"),
        ({"points_per_side": 4, "crop_n_layers": 2, "crop_n_points_downscale_factor": 3}, "at least 9"),
        ({"points_per_side": None, "point_grids": [[[0.5, 1.5]]]}, "from 0 to 1"),
        ({"points_per_side": None, "point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}, "2 layers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(model: Sam, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamAutomaticMaskGenerator(model, **settings)


def test_crops_that_an_image_cannot_hold_are_refused(model: Sam) -> None:
    generator = SamAutomaticMaskGenerator(model, points_per_side=8, crop_n_layers=3)
    with pytest.raises(ValueError, match="crop_n_layers"):
        generator.generate(np.zeros((3, 3, 3), dtype=np.uint8))


def test_removed_adds_up() -> None:
    removed = Removed(proposals=10, pred_iou=3, box_nms=2)
    assert removed.kept == 5
    assert (removed + Removed(proposals=4, crop_edge=1)).kept == 8
