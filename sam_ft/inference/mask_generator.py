"""Masks of everything in an image, under the names of segment_anything's generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_ft.checks import expect_whole_number
from sam_ft.inference.candidates import candidates
from sam_ft.inference.crops import Crop, crops_of, expect_grids, grids_of_layers
from sam_ft.inference.execution import Execution
from sam_ft.inference.found_masks import FoundMasks, Removed
from sam_ft.inference.mask_filters import MaskFilters, near_crop_edge
from sam_ft.inference.mask_records import OUTPUT_MODES, records_of
from sam_ft.inference.pictures_in import as_rgb
from sam_ft.inference.resize_longest_side import ResizeLongestSide
from sam_ft.inference.source_masks import source_masks
from sam_ft.inference.thresholds import ThresholdFit, fit_thresholds
from sam_ft.masks.rle_placing import placed
from sam_ft.models.sam.model import Sam
from sam_ft.transforms import Frame
from sam_ft.types import FOREGROUND, ConfidentMasks, ImageEmbedding, Prompts, Sample


class SamAutomaticMaskGenerator:
    """Asks a SAM about each point of a grid and returns what is worth keeping.

    A script for `segment_anything.SamAutomaticMaskGenerator` runs with it: the same parameters, records, masks and
    order. It does less: of proposals that the model does not trust no mask is made, of unstable ones no run lengths.

    `propose` runs the model and `select` filters, so that thresholds can change without running it again.

    Args:
        model: any SAM, in evaluation mode.
        points_per_side: points along each side of the image; None: `point_grids` are given.
        points_per_batch: points in one call of the decoder.
        pred_iou_thresh: see `MaskFilters`; `sam-ft fit` finds those that suit a model (thresholds.json).
        stability_score_thresh: see `MaskFilters`.
        stability_score_offset: how far the threshold of a mask moves for the stability score.
        box_nms_thresh: see `MaskFilters`.
        crop_n_layers: layers of crops beyond the whole image; layer i has 2**i crops a side.
        crop_nms_thresh: see `MaskFilters`.
        crop_overlap_ratio: see `crops_of`.
        crop_n_points_downscale_factor: by how much `points_per_side` shrinks from layer to layer.
        point_grids: instead of `points_per_side`, for each layer (N, 2) points from 0 to 1.
        min_mask_region_area: see `MaskFilters`.
        output_mode: "binary_mask" (arrays), "uncompressed_rle" or "coco_rle".
        use_m2m: whether each mask goes in once more as a prompt and comes out refined, as in SAM 2.
        execution: how the model is run; None: in the precision of its weights.

    Raises:
        ValueError: a parameter of another kind.

    Source: segment_anything, `automatic_mask_generator.py`; SAM 2 for `use_m2m`.
    """

    def __init__(  # noqa: PLR0913  (the original's)
        self,
        model: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = MaskFilters.pred_iou_thresh,
        stability_score_thresh: float = MaskFilters.stability_score_thresh,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = MaskFilters.box_nms_thresh,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = MaskFilters.crop_nms_thresh,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[np.ndarray] | None = None,
        min_mask_region_area: int = MaskFilters.min_mask_region_area,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        *,
        execution: Execution | None = None,
    ) -> None:
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"Expected `output_mode` to be one of {', '.join(OUTPUT_MODES)}, but got {output_mode!r}.")
        if (points_per_side is None) == (point_grids is None):
            raise ValueError("Expected either `points_per_side` or `point_grids`, but got both or neither.")
        expect_whole_number("points_per_batch", points_per_batch, least=1)
        self.model = model
        self.filters = MaskFilters(
            pred_iou_thresh, stability_score_thresh, box_nms_thresh, crop_nms_thresh, min_mask_region_area
        )
        self.point_grids = (
            grids_of_layers(points_per_side, num_layers=crop_n_layers, downscale_factor=crop_n_points_downscale_factor)
            if points_per_side is not None
            else expect_grids(point_grids or [], num_layers=crop_n_layers)
        )
        self.points_per_batch = points_per_batch
        self.stability_score_offset = stability_score_offset
        self.crop_n_layers = crop_n_layers
        self.crop_overlap_ratio = crop_overlap_ratio
        self.output_mode = output_mode
        self.use_m2m = use_m2m
        self.removed: Removed | None = None
        self._running = (execution or Execution()).of(model)
        self._transform = ResizeLongestSide(model.image_size)

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """The masks of an image.

        Args:
            image: (H, W, 3) uint8 RGB; grey, deeper and transparent ones as in `SamPredictor.set_image`.

        Returns:
            For each mask `segmentation` ((H, W) bool, or a run-length encoding), `area` in pixels, `bbox`
            [x, y, w, h], `predicted_iou`, `point_coords` [[x, y]], `stability_score` and `crop_box` [x, y, w, h].

        Raises:
            ValueError: another shape or type.
        """
        return records_of(self.select(self.propose(image, self.filters)), output_mode=self.output_mode)

    @torch.no_grad()
    def propose(self, image: np.ndarray, at_least: MaskFilters | None = None) -> FoundMasks:
        """All masks that `select` may choose from.

        Args:
            image: as in `generate`.
            at_least: what is removed by its thresholds of the predicted IoU and the stability score does not take any
                time; None: nothing is.

        Raises:
            ValueError: another shape or type.
        """
        floor = at_least or MaskFilters(pred_iou_thresh=0, stability_score_thresh=0)
        pixels = as_rgb(image)
        crops = crops_of(pixels.shape[:2], num_layers=self.crop_n_layers, overlap_ratio=self.crop_overlap_ratio)
        return FoundMasks.joined([self._found_in(pixels, crop, floor) for crop in crops])

    def select(self, found: FoundMasks, filters: MaskFilters | None = None) -> FoundMasks:
        """The masks that are worth keeping; `explain` says what became of the others.

        Args:
            found: what `propose` has given.
            filters: thresholds; None: the generator's own.
        """
        selected = (filters or self.filters).select(found, num_crops=self._num_crops)
        self.removed = selected.removed
        return selected

    def calibrate(self, samples: Sequence[Sample], *, points_per_side: int = 16) -> ThresholdFit:
        """Set the thresholds of the predicted IoU and the stability score to those that do best on labelled images.

        A fine-tuning moves what a model thinks of its masks; segment_anything's thresholds may then leave nothing.

        Args:
            samples: validation images with all their objects.
            points_per_side: of the grid that is asked for them.

        Returns:
            The thresholds, their score and that of segment_anything's; `describe` of `sam_ft.inference.thresholds` puts
            it into words.

        Raises:
            ValueError: there are no images, or none of them has an object.
        """
        fitted = fit_thresholds(list(candidates(self.model, samples, points_per_side=points_per_side)))
        best = fitted.best.thresholds
        self.filters = replace(
            self.filters,
            pred_iou_thresh=best.pred_iou_thresh,
            stability_score_thresh=best.stability_score_thresh,
        )
        return fitted

    def explain(self) -> str:
        """What became of the proposals for the last image, a line for each filter.

        Raises:
            RuntimeError: there was no image yet.
        """
        if self.removed is None:
            raise RuntimeError("Expected an image to explain: call generate(image) first.")
        return self.filters.explained(self.removed)

    @property
    def _num_crops(self) -> int:
        return sum(4**layer for layer in range(self.crop_n_layers + 1))

    def _found_in(self, pixels: np.ndarray, crop: Crop, floor: MaskFilters) -> FoundMasks:
        """The masks in a crop of an image (H, W, 3)."""
        frame = Frame(crop.size, self.model.image_size)
        part = torch.from_numpy(np.ascontiguousarray(crop.of(pixels)))
        embedding = self._running.encode_image(frame.image_to_frame(part)[None])
        grid = self.point_grids[crop.layer] * np.array(crop.size[::-1])  # (N, 2) pixels of the crop
        batches = np.array_split(grid, range(self.points_per_batch, len(grid), self.points_per_batch))
        found = [self._found_at(points, embedding, frame, crop=crop, floor=floor) for points in batches]
        return _in_image(FoundMasks.joined(found), crop, size=(pixels.shape[0], pixels.shape[1]))

    def _found_at(
        self, points: np.ndarray, embedding: ImageEmbedding, frame: Frame, *, crop: Crop, floor: MaskFilters
    ) -> FoundMasks:
        """The masks at some points (N, 2) of a crop, at the crop's resolution."""
        asked = torch.from_numpy(self._transform.apply_coords(points, frame.source_size)).float()
        answer = self._ask(embedding, asked.to(self.model.device), least_iou=floor.least_iou)
        masks = source_masks(
            answer.low_res_logits,
            frame,
            least_stability=floor.stability_score_thresh,
            stability_score_offset=self.stability_score_offset,
        )
        chosen = answer.objects.numpy(force=True)[masks.is_stable], answer.outputs.numpy(force=True)[masks.is_stable]
        num_proposals, num_trusted = answer.iou_predictions.numel(), len(masks.stability_score)
        return FoundMasks(
            masks.run_lengths,
            boxes_xyxy=masks.boxes_xyxy,
            predicted_iou=answer.iou_predictions.numpy(force=True)[chosen],
            stability_score=masks.stability_score[masks.is_stable],
            points_xy=points[chosen[0]],
            crop_boxes=np.tile(np.array(crop.box), (len(chosen[0]), 1)),
            removed=Removed(
                proposals=num_proposals,
                pred_iou=num_proposals - num_trusted,
                stability_score=num_trusted - len(chosen[0]),
            ),
        )

    def _ask(self, embedding: ImageEmbedding, points: Tensor, *, least_iou: float) -> ConfidentMasks:
        """Three masks for each of some points (N, 2) of the frame, those above a predicted IoU."""
        labels = torch.full((1, len(points), 1), FOREGROUND, device=points.device)
        prompts = Prompts(points=points[None, :, None], labels=labels)
        if not self.use_m2m:
            return self._running.decode_confident(embedding, prompts, least_iou=least_iou)
        first = self._running.decode(embedding, prompts, multimask_output=True).low_res_logits[0]  # (N, 3, h, w)
        count = first.shape[1]
        again = Prompts(
            points=points.repeat_interleave(count, dim=0)[None, :, None],
            labels=labels.repeat_interleave(count, dim=1),
            masks=first.flatten(0, 1)[None],
        )
        refined = self._running.decode(embedding, again, multimask_output=False)
        ious = refined.iou_predictions[0].view(len(points), count)
        is_trusted = ious > least_iou
        objects, outputs = is_trusted.nonzero(as_tuple=True)
        return ConfidentMasks(ious, objects, outputs, refined.low_res_logits[0, :, 0][is_trusted.flatten()])


def _in_image(found: FoundMasks, crop: Crop, *, size: tuple[int, int]) -> FoundMasks:
    """Masks, boxes and points of a crop as those of the image, without masks that the crop cuts off."""
    x0, y0 = crop.box[:2]
    boxes = found.boxes_xyxy + np.array([x0, y0, x0, y0])
    is_cut = near_crop_edge(boxes, crop, size)
    inside = FoundMasks(
        placed(found.run_lengths, at=(x0, y0), size=size),
        boxes_xyxy=boxes,
        predicted_iou=found.predicted_iou,
        stability_score=found.stability_score,
        points_xy=found.points_xy + np.array([x0, y0]),
        crop_boxes=found.crop_boxes,
        removed=found.removed,
    )
    return inside.take(~is_cut, crop_edge=int(is_cut.sum()))
