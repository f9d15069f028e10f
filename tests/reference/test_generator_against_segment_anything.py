"""Our mask generator beside segment_anything's, with the same trained weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sam_ft.checkpoints import load_model
from sam_ft.data.phantoms import Phantoms
from sam_ft.inference.found_masks import Removed
from sam_ft.inference.mask_generator import SamAutomaticMaskGenerator
from sam_ft.masks.rle import decode
from sam_ft.masks.rle_coco import from_coco
from sam_ft.models.sam.model import Sam

pytestmark = pytest.mark.reference

ARCHITECTURE: dict[str, Any] = {
    "image_size": 256,
    "encoder_width": 192,
    "encoder_depth": 6,
    "encoder_heads": 3,
    "global_attention_blocks": (2, 5),
    "window_size": 8,
    "decoder_width": 128,
}
GENERATORS: dict[str, dict[str, Any]] = {
    "everything": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 6},
    "filtered": {"points_per_side": 12, "points_per_batch": 50},
    "crops": {
        "points_per_side": 8,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "box_nms_thresh": 0.9,
        "output_mode": "coco_rle",
    },
    "two_layers": {
        "points_per_side": 4,
        "crop_n_layers": 2,
        "crop_overlap_ratio": 0.1,
        "output_mode": "uncompressed_rle",
    },
    "cleaned": {"points_per_side": 8, "min_mask_region_area": 40, "stability_score_offset": 0.5},
    "own_points": {"points_per_side": None, "point_grids": [np.random.default_rng(0).random((25, 2)).tolist()]},
}
"""Whose thresholds, where they are not given, let half of the masks through."""


@pytest.fixture(scope="module")
def model() -> Sam:
    return load_model("vit_tiny_phantoms", image_size=ARCHITECTURE["image_size"])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Bodies of many sizes, not square."""
    drawn = Phantoms(40, image_size=200, seed=1)
    return np.concatenate([drawn[index].image.numpy() for index in (3, 11)], axis=1)[:170]


@pytest.fixture(scope="module")
def cases(model: Sam, image: np.ndarray) -> dict[str, Any]:
    return {
        name: {"image": "bodies", "generator": thresholds_between(model, image, settings) | settings}
        for name, settings in GENERATORS.items()
    }


def thresholds_between(model: Sam, image: np.ndarray, settings: dict[str, Any]) -> dict[str, float]:
    """Thresholds in the widest gap near the middle of the scores, so that no rounding decides about a mask."""
    found = SamAutomaticMaskGenerator(model, **settings).propose(image)
    iou = middle_of_gap(found.predicted_iou)
    return {
        "pred_iou_thresh": iou,
        "stability_score_thresh": middle_of_gap(found.stability_score[found.predicted_iou > iou]),
    }


def middle_of_gap(scores: np.ndarray) -> float:
    ordered = np.sort(scores)
    some = ordered[len(ordered) * 2 // 5 : len(ordered) * 3 // 5 + 2]
    widest = int(np.diff(some).argmax())
    return float(some[widest] + some[widest + 1]) / 2


@pytest.fixture(scope="module")
def theirs(
    model: Sam, image: np.ndarray, cases: dict[str, Any], segment_anything: Callable[..., dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    return segment_anything(model, ARCHITECTURE, images={"bodies": image}, cases=cases)


def masks_of(segmentations: list[Any]) -> np.ndarray:
    """(N, H, W) bool from arrays, or from run-length encodings and their JSON."""
    if isinstance(segmentations[0], np.ndarray):
        return np.stack(segmentations)
    return decode(from_coco([json.loads(each) if isinstance(each, str) else each for each in segmentations]))


@pytest.mark.parametrize("name", GENERATORS)
def test_the_generator_finds_what_the_original_finds(
    name: str, model: Sam, image: np.ndarray, cases: dict[str, Any], theirs: dict[str, np.ndarray]
) -> None:
    generator = SamAutomaticMaskGenerator(model, **cases[name]["generator"])
    ours = generator.generate(image)
    expected = {key: list(theirs[f"{name}.{key}"]) for key in ours[0]}
    assert generator.removed is not None
    assert len(ours) == len(expected["area"]) == generator.removed.kept >= 3
    found = masks_of([record["segmentation"] for record in ours])
    wanted = masks_of(expected["segmentation"])
    ious = (found & wanted).sum(axis=(1, 2)) / np.maximum((found | wanted).sum(axis=(1, 2)), 1)
    assert (ious >= 0.999).mean() >= 0.99
    for key, tolerance in (("predicted_iou", 1e-4), ("stability_score", 2e-3), ("point_coords", 1e-6), ("crop_box", 0)):
        assert np.abs(np.array([record[key] for record in ours]) - np.array(expected[key])).max() <= tolerance, key
    same = ious == 1
    for key in ("area", "bbox"):
        assert np.array_equal(np.array([record[key] for record in ours])[same], np.array(expected[key])[same]), key
    assert same.mean() > 0.5


def test_the_cases_of_the_generator_use_each_of_its_filters(
    model: Sam, image: np.ndarray, cases: dict[str, Any]
) -> None:
    removed = dict.fromkeys(vars(Removed()), 0)
    for case in cases.values():
        generator = SamAutomaticMaskGenerator(model, **case["generator"])
        generator.generate(image)
        for name in removed:
            removed[name] += getattr(generator.removed, name)
    assert all(removed.values()), removed
