"""Objects of one image and what has been asked about them so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from sam_ft.evaluation.records.mask_record import MaskRecord, PromptKind
from sam_ft.masks.areas import mask_areas
from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.metrics.boundary import boundary_iou
from sam_ft.metrics.overlap import iou
from sam_ft.transforms import Frame
from sam_ft.types import ABSENT, MaskPrediction, Sample

Answer = Callable[[], Tensor]
"""Gives the logits `(H, W)` float32 of a mask at the source's resolution, on the CPU; above 0 where the mask is."""

_PIXELS_AT_ONCE = 2**20
"""Of masks brought to the source's resolution."""

REACHED = (0.85, 0.90)
"""The IoUs of the number of clicks (NoC@85, NoC@90)."""


@dataclass(frozen=True)
class AskedObjects:
    """n objects of one image, the clicks and the last answer, in pixels of the source and on the CPU.

    What nobody knows (`Sample.unknown`) is no part of any answer: it makes none worse, and nobody clicks there.
    """

    sample: Sample
    frame: Frame
    first_index: int
    targets: Tensor  # (n, H, W) bool
    boxes: Tensor  # (n, 4)
    points: Tensor  # (n, K, 2)
    labels: Tensor  # (n, K); ABSENT where no error was left
    masks: Tensor  # (n, H, W) bool, the last answer without unknown pixels; empty before the first
    predicted_iou: Tensor  # (n,)
    reached_after: Tensor  # (n, 2) clicks until each IoU of REACHED; 0 where it has not been reached
    unknown: Tensor | None = None  # (H, W) bool
    low_res_logits: Tensor | None = None  # (n, h, w) of the last answer, on the model's device
    predicted_classes: tuple[str | None, ...] = ()  # n names; none before the first answer
    ious: Tensor | None = None  # (n,) of the last answer, where it has been measured
    oracle_iou: Tensor | None = None  # (n,) of the best of several masks, where the last answer has several

    def with_click(self, points: Tensor, labels: Tensor) -> AskedObjects:
        """The same objects with one more click each, (n, 2) and (n,)."""
        return replace(
            self,
            points=torch.cat([self.points, points[:, None]], dim=1),
            labels=torch.cat([self.labels, labels[:, None]], dim=1),
            oracle_iou=None,
        )

    def with_answer(self, answer: MaskPrediction, row: int) -> AskedObjects:
        """The same objects with what `answer` (B, N, 1, h, w) says of image `row`.

        Where the last click is absent, the old answer stays.
        """
        num_objects = len(self.targets)
        low_res_logits = answer.low_res_logits[row, :num_objects, 0]  # (n, h, w)
        masks = self._at_source(low_res_logits)
        predicted_iou = answer.iou_predictions[row, :num_objects, 0].float().cpu()  # (n,)
        classes = _class_names(answer, row, num_objects=num_objects)
        if self.low_res_logits is not None and not (asked := self.labels[:, -1] != ABSENT).all():
            is_new = asked[:, None, None]  # (n, 1, 1)
            masks = torch.where(is_new, masks, self.masks)
            low_res_logits = torch.where(is_new.to(low_res_logits.device), low_res_logits, self.low_res_logits)
            predicted_iou = torch.where(asked, predicted_iou, self.predicted_iou)
            old_and_new = zip(asked.tolist(), classes, self.predicted_classes, strict=True)
            classes = tuple(new if is_asked else old for is_asked, new, old in old_and_new)
        return replace(
            self,
            masks=masks,
            predicted_iou=predicted_iou,
            low_res_logits=low_res_logits,
            predicted_classes=classes,
            ious=None,
        )

    def with_oracle(self, answer: MaskPrediction, row: int) -> AskedObjects:
        """The same objects with the IoU of the best of the masks (B, N, M, h, w) that `answer` offers."""
        offered = answer.low_res_logits[row, : len(self.targets)].unbind(dim=1)  # M times (n, h, w)
        ious = [iou(self._at_source(each), self.targets) for each in offered]
        return replace(self, oracle_iou=torch.stack(ious).amax(dim=0))

    def with_reached(self, num_clicks: int) -> AskedObjects:
        """The same objects, and whether the answer after `num_clicks` clicks is the first to reach an IoU."""
        ious = iou(self.masks, self.targets) if self.ious is None else self.ious
        is_first = (self.reached_after == 0) & (ious[:, None] >= torch.tensor(REACHED))  # (n, 2)
        return replace(self, ious=ious, reached_after=self.reached_after.masked_fill(is_first, num_clicks))

    def answers(
        self, prompt: PromptKind, num_clicks: int, *, boundary: bool = False, in_summary: bool = True
    ) -> Iterator[tuple[MaskRecord, Answer]]:
        """A record and the logits of its mask for each object; with the IoU of the boundaries if wanted."""
        ious = iou(self.masks, self.targets) if self.ious is None else self.ious
        areas = mask_areas(self.targets).tolist()
        oracle_ious = [None] * len(areas) if self.oracle_iou is None else self.oracle_iou.tolist()
        boundary_ious = boundary_iou(self.masks, self.targets).tolist() if boundary else [None] * len(areas)
        for n, (object_iou, area_px) in enumerate(zip(ious.tolist(), areas, strict=True)):
            clicked = self.labels[n] != ABSENT
            to_85, to_90 = (count or None for count in self.reached_after[n].tolist())
            record = MaskRecord(
                image=self.sample.name,
                object_index=self.first_index + n,
                class_name=self.sample.class_names[self.first_index + n],
                area_px=area_px,
                prompt=prompt,
                num_clicks=num_clicks,
                iou=object_iou,
                predicted_iou=self.predicted_iou[n].item(),
                predicted_class=self.predicted_classes[n] if self.predicted_classes else None,
                points=tuple((x, y) for x, y in self.points[n, clicked].tolist()),
                labels=tuple(self.labels[n, clicked].tolist()),
                box=tuple(self.boxes[n].tolist()) if prompt == "box" else None,
                set_name=self.sample.set_name,
                oracle_iou=oracle_ious[n],
                clicks_to_85=to_85,
                clicks_to_90=to_90,
                boundary_iou=boundary_ious[n],
                in_summary=in_summary,
            )
            yield record, partial(self._logits_at_source, n)

    def _at_source(self, low_res_logits: Tensor) -> Tensor:
        """(n, h, w) -> masks (n, H, W) bool on the CPU without what is unknown.

        The logits between are many, and only some exist at a time.
        """
        height, width = self.frame.source_size
        at_once = max(1, _PIXELS_AT_ONCE // (height * width))
        some = (self.frame.logits_to_source(logits) > 0 for logits in low_res_logits.split(at_once))
        masks = torch.cat([masks.cpu() for masks in some])
        return masks if self.unknown is None else masks & ~self.unknown

    def _logits_at_source(self, n: int) -> Tensor:
        """(H, W) float32 on the CPU."""
        if self.low_res_logits is None:
            raise RuntimeError("Expected an answer, but nothing has been asked yet.")
        return self.frame.logits_to_source(self.low_res_logits[n]).float().cpu()


def objects_of(sample: Sample, selected: slice, *, image_size: int) -> AskedObjects:
    """Some objects of a sample before anything is asked.

    Raises:
        ValueError: an object has no pixel.
    """
    targets = sample.masks[selected].cpu()  # (n, H, W)
    empty = (mask_areas(targets) == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"Expected every object to have a pixel, but got an empty mask for object {selected.start + empty[0]} "
            f"of {sample.name}; leave empty masks out of the data set."
        )
    return AskedObjects(
        sample=sample,
        frame=Frame(source_size=(targets.shape[1], targets.shape[2]), image_size=image_size),
        first_index=selected.start,
        targets=targets,
        boxes=boxes_of_masks(targets),
        points=torch.zeros(len(targets), 0, 2),
        labels=torch.zeros(len(targets), 0, dtype=torch.int64),
        masks=torch.zeros_like(targets),
        predicted_iou=torch.zeros(len(targets)),
        reached_after=torch.zeros(len(targets), len(REACHED), dtype=torch.int64),
        unknown=None if (unknown := sample.unknown) is None else unknown.cpu(),
    )


def _class_names(answer: MaskPrediction, row: int, *, num_objects: int) -> tuple[str | None, ...]:
    """What a model takes the objects of an image for; None for each if it knows no classes."""
    if answer.class_logits is None:
        return (None,) * num_objects
    indices = answer.class_logits[row, :num_objects, 0].argmax(dim=-1).tolist()
    return tuple(answer.class_names[index] for index in indices)
