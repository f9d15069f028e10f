from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from sam_ft.metrics.average_precision import (
    ALL_SIZES,
    SIZES,
    Detections,
    Matches,
    average_recall,
    match,
    precision_curves,
)

coco = pytest.importorskip("pycocotools.coco", reason="the reference (extra data)")
cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="the reference (extra data)")
rle = pytest.importorskip("pycocotools.mask", reason="the reference (extra data)")

SIDE = 20
RANGES = (ALL_SIZES, (0.0, 20.0), (20.0, 60.0), (60.0, 1e10))
COUNTS = (1, 4, 100)


@dataclass
class Scene:
    """Masks and objects of one image, each of a class."""

    masks: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    mask_classes: list[int] = field(default_factory=list)
    objects: list[np.ndarray] = field(default_factory=list)
    object_classes: list[int] = field(default_factory=list)
    crowds: list[bool] = field(default_factory=list)


def square(random: np.random.Generator, *, near: np.ndarray | None = None) -> np.ndarray:
    """A random rectangle, often at the border; or one that is moved a little."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    if near is not None:
        return np.roll(near, tuple(random.integers(-1, 2, 2)), (0, 1)) ^ (random.random((SIDE, SIDE)) < 0.005)
    (y, x), (height, width) = random.integers(-2, SIDE, 2), random.integers(1, 11, 2)
    mask[max(y, 0) : max(y + height, 1), max(x, 0) : max(x + width, 1)] = True
    return mask


def random_scene(random: np.random.Generator, *, with_crowds: bool) -> Scene:
    """Objects that are found more or less well, some twice, and masks of nothing; many scores are equal."""
    scene = Scene()
    for _ in range(random.integers(0, 7)):
        scene.objects.append(square(random))
        scene.object_classes.append(int(random.integers(1, 4)))
        scene.crowds.append(with_crowds and bool(random.random() < 0.3))
    for _ in range(random.integers(0, 12)):
        of = int(random.integers(len(scene.objects))) if scene.objects and random.random() < 0.8 else None
        exact = random.random() < 0.3
        mask = square(random) if of is None else scene.objects[of] if exact else square(random, near=scene.objects[of])
        scene.masks.append(mask)
        scene.scores.append(round(float(random.random()), 1))
        right_class = of is not None and random.random() < 0.8
        scene.mask_classes.append(scene.object_classes[of] if right_class else int(random.integers(1, 4)))
    return scene


def detections_of(scene: Scene, class_number: int | None) -> Detections:
    """IoUs by brute force, of all classes or of one."""
    masks = [number for number, name in enumerate(scene.mask_classes) if class_number in (None, name)]
    objects = [number for number, name in enumerate(scene.object_classes) if class_number in (None, name)]
    ious = np.zeros((len(masks), len(objects)))
    for row, mask in enumerate(scene.masks[number] for number in masks):
        for column, number in enumerate(objects):
            target = scene.objects[number]
            whole = mask if scene.crowds[number] else mask | target
            ious[row, column] = (mask & target).sum() / whole.sum() if whole.any() else 0
    return Detections(
        scores=torch.tensor([scene.scores[number] for number in masks], dtype=torch.float64),
        ious=torch.from_numpy(ious),
        areas=torch.tensor([int(scene.masks[number].sum()) for number in masks]),
        object_areas=torch.tensor([int(scene.objects[number].sum()) for number in objects]),
        is_crowd=torch.tensor([scene.crowds[number] for number in objects], dtype=torch.bool),
    )


def matches(scenes: Sequence[Scene], area_range: tuple[float, float], class_number: int | None = None) -> list[Matches]:
    return [match(detections_of(scene, class_number), area_range=area_range) for scene in scenes]


def data_set(scenes: Sequence[Scene], *, of_truth: bool, with_classes: bool) -> Any:
    annotations = []
    for image, scene in enumerate(scenes, start=1):
        masks = scene.objects if of_truth else scene.masks
        classes = scene.object_classes if of_truth else scene.mask_classes
        for number, (mask, name) in enumerate(zip(masks, classes, strict=True)):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": name if with_classes else 1,
                "segmentation": rle.encode(np.asfortranarray(mask).view(np.uint8)),
                "area": int(mask.sum()),
                "iscrowd": int(of_truth and scene.crowds[number]),
            }
            annotations.append(annotation if of_truth else {**annotation, "score": scene.scores[number]})
    made = coco.COCO()
    images = [{"id": image, "height": SIDE, "width": SIDE} for image in range(1, len(scenes) + 1)]
    made.dataset = {"images": images, "categories": [{"id": 1}, {"id": 2}, {"id": 3}], "annotations": annotations}
    made.createIndex()
    return made


def reference(scenes: Sequence[Scene], *, with_classes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K, A, M) and recall (T, K, A, M) of pycocotools; -1 where no object counts."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = (data_set(scenes, of_truth=of_truth, with_classes=with_classes) for of_truth in (True, False))
        measured = cocoeval.COCOeval(truth, found, "segm")
        measured.params.areaRng, measured.params.maxDets = [list(each) for each in RANGES], list(COUNTS)
        measured.params.useCats = int(with_classes)
        measured.evaluate()
        measured.accumulate()
    return measured.eval["precision"], measured.eval["recall"]


def expect_equal(scenes: Sequence[Scene]) -> None:
    precision, recall = reference(scenes)
    for place, area_range in enumerate(RANGES):
        images = matches(scenes, area_range)
        for number, count in enumerate(COUNTS):
            curves = precision_curves(images, max_detections=count)
            expected = precision[:, :, 0, place, number]
            if curves is None:
                assert (expected == -1).all() and average_recall(images, max_detections=count) is None
            else:
                np.testing.assert_allclose(curves.numpy(), expected, rtol=0, atol=1e-6)
                found = average_recall(images, max_detections=count)
                assert found == pytest.approx(recall[:, 0, place, number].mean(), abs=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("with_crowds", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_precision_and_recall_are_those_of_pycocotools(seed: int, with_crowds: bool) -> None:
    random = np.random.default_rng(seed)
    scenes = [random_scene(random, with_crowds=with_crowds) for _ in range(6)]
    assert any(mask.any() for scene in scenes for mask in scene.masks)
    expect_equal(scenes)


@pytest.mark.reference
def test_each_class_is_measured_on_its_own_and_the_mean_is_that_of_pycocotools() -> None:
    random = np.random.default_rng(0)
    scenes = [random_scene(random, with_crowds=True) for _ in range(8)]
    precision, recall = reference(scenes, with_classes=True)
    by_class = [matches(scenes, ALL_SIZES, number) for number in (1, 2, 3)]
    curves = [precision_curves(images) for images in by_class]
    mean = np.mean([each.mean().item() for each in curves if each is not None])
    of_coco = precision[:, :, :, 0, -1]
    assert 0.05 < mean < 0.95
    assert mean == pytest.approx(of_coco[of_coco > -1].mean(), abs=1e-6)
    recalls = [average_recall(images, max_detections=4) for images in by_class]
    np.testing.assert_allclose(recalls, recall[:, :, 0, 1].mean(axis=0), rtol=0, atol=1e-6)


EMPTY, FULL, PIXEL, EDGE = (np.zeros((SIDE, SIDE), dtype=bool) for _ in range(4))
FULL[:], PIXEL[7, 7], EDGE[:, :3] = True, True, True


@pytest.mark.reference
@pytest.mark.parametrize("objects", [[], [EMPTY], [FULL], [PIXEL], [EDGE], [EDGE, EDGE, PIXEL, FULL, EMPTY]])
@pytest.mark.parametrize("masks", [[], [EMPTY], [FULL], [PIXEL], [EDGE], [PIXEL, FULL, FULL, EDGE, EMPTY]])
def test_degenerate_masks_are_those_of_pycocotools(masks: list[np.ndarray], objects: list[np.ndarray]) -> None:
    scores = [0.5, 0.5, 0.4, 0.9, 0.2][: len(masks)]
    ones = [1] * 5
    scene = Scene(masks, scores, ones[: len(masks)], objects, ones[: len(objects)], [False] * len(objects))
    expect_equal([scene])
    expect_equal([scene, Scene(), scene])


def detections(*ious: list[float], scores: Sequence[float], area: int = 50) -> Detections:
    table = torch.tensor(ious, dtype=torch.float64)
    return Detections(
        scores=torch.tensor(scores),
        ious=table,
        areas=torch.full((len(table),), area),
        object_areas=torch.full((table.shape[1],), area),
        is_crowd=torch.zeros(table.shape[1], dtype=torch.bool),
    )


def test_a_mask_of_nothing_with_the_best_score_halves_the_precision() -> None:
    """The object is found at IoU 0.50, 0.55 and 0.60, as the second of two masks."""
    found = [match(detections([0.0], [0.6], scores=[0.9, 0.8]))]
    curves = precision_curves(found)
    assert curves is not None
    assert curves[:3].unique().tolist() == [0.5] and not curves[3:].any()
    assert average_recall(found, max_detections=2) == pytest.approx(0.3)
    assert average_recall(found, max_detections=1) == 0


def test_the_better_score_takes_the_object_and_not_the_better_overlap() -> None:
    found = match(detections([0.6], [0.9], scores=[0.9, 0.8]))
    assert found.hits[0].tolist() == [True, False] and found.hits[4].tolist() == [False, True]


def test_recall_at_k_is_of_the_best_k_masks_of_every_image() -> None:
    images = [match(detections([1.0, 0.0], [0.0, 1.0], scores=[0.1, 0.2])), match(detections([1.0], scores=[0.05]))]
    assert average_recall(images, max_detections=1) == pytest.approx(2 / 3)
    assert average_recall(images, max_detections=2) == 1


def test_objects_of_another_size_excuse_the_masks_that_find_them() -> None:
    found = match(detections([1.0], scores=[0.9]), area_range=SIZES["large"])
    assert found.num_objects == 0 and found.excused.all() and not found.hits.any()
    assert precision_curves([found]) is None and average_recall([found], max_detections=1) is None


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected `ious` \(2, 1\)"):
        detections([0.5], scores=[0.9, 0.8])
