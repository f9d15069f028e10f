"""mIoU against clicks and with a box: Segment Anything's interactive protocol (Kirillov et al. 2023, appendix D.1).

Each object is asked for on its own: once with the clean box around it, and in rounds of clicks. The first click
lies at the object's centre, every later one at the centre of the largest error (`sam_ft.evaluation.clicks`). The
first round gives three masks, of which the one with the highest *predicted* IoU counts; later rounds give one mask
from all clicks so far and the previous mask's logits. IoU is measured at the source's resolution, and mIoU is the
mean over masks. An object without any error left keeps its prompts and its mask: its IoU is 1 from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sam_ft.evaluation.clicks import next_click
from sam_ft.evaluation.records import MaskRecord
from sam_ft.masks.areas import mask_areas
from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.metrics.overlap import iou
from sam_ft.transforms import Frame
from sam_ft.types import ABSENT, Batch, ImageEmbedding, MaskPrediction, PromptableModel, Prompts, Sample


def evaluate_clicks(
    model: PromptableModel,
    batches: Iterable[Batch],
    *,
    clicks: Sequence[int] = (1, 3, 5),
    with_box: bool = True,
    objects_per_decode: int = 64,
    on_batch: Callable[[list[MaskRecord]], None] | None = None,
    on_prediction: Callable[[MaskRecord, Tensor], None] | None = None,
) -> list[MaskRecord]:
    """Ask `model` for every object of `batches` and measure the answers.

    What is measured is every object of `batch.samples`. Images are encoded once; all objects of all images of a
    batch share one decoder call per round.

    Args:
        model: any promptable model; a module is in evaluation mode during the call and as it was afterwards.
        batches: each is moved to the model's device.
        clicks: after which numbers of clicks to record.
        with_box: whether to record the answer to the clean box as well.
        objects_per_decode: a bound on memory: images with more objects take several decoder calls per round,
            with the same result.
        on_batch: receives each batch's records when they are there, for showing progress.
        on_prediction: receives each record with its logits `(H, W)` float32 at the source's resolution, on the
            CPU; a pixel belongs to the mask where the logit is above 0. Called as answers come, round by round;
            what is to be kept must be copied (`logits > 0` is a copy), since the logits share memory.

    Returns:
        The records, image by image and object by object: box first, then by number of clicks. Empty if there are
        no objects.

    Raises:
        ValueError: nothing is asked for, or an object has no pixel.
    """
    if not with_box and not clicks:
        raise ValueError("Expected `clicks` or `with_box`, but got neither: there is nothing to measure.")
    if any(count < 1 for count in clicks) or objects_per_decode < 1:
        raise ValueError(
            f"Expected `clicks` and `objects_per_decode` of at least 1, but got {tuple(clicks)}, {objects_per_decode}."
        )
    all_records: list[MaskRecord] = []
    with evaluation_mode(model):
        for batch in batches:
            records = []
            for record, logits in _ask_batch(
                model, batch, clicks=clicks, with_box=with_box, objects_per_decode=objects_per_decode
            ):
                records.append(record)
                if on_prediction is not None:
                    on_prediction(record, logits)
            records = _in_order(records, batch)
            if on_batch is not None:
                on_batch(records)
            all_records += records
    return all_records


@dataclass(frozen=True)
class _Objects:
    """n objects of one image and what has been asked about them, in pixels of the source."""

    sample: Sample
    frame: Frame
    first_index: int
    targets: Tensor  # (n, H, W) bool
    boxes: Tensor  # (n, 4)
    points: Tensor  # (n, K, 2)
    labels: Tensor  # (n, K); ABSENT where no error was left
    logits: Tensor  # (n, H, W) of the last answer, below 0 before the first
    predicted_iou: Tensor  # (n,)
    low_res_logits: Tensor | None = None  # (n, h, w) of the last answer, on the model's device
    predicted_classes: tuple[str | None, ...] = ()  # n names; none before the first answer

    def with_click(self) -> _Objects:
        """The same objects after the user has looked at the last answer and clicked once more."""
        points, labels = next_click(self.logits > 0, self.targets)
        return replace(
            self,
            points=torch.cat([self.points, points[:, None]], dim=1),
            labels=torch.cat([self.labels, labels[:, None]], dim=1),
        )

    def with_answer(self, answer: MaskPrediction, row: int) -> _Objects:
        """The same objects with what `answer` (B, N, 1, h, w) says of image `row`.

        Where the last click is absent, the old answer stays.
        """
        num_objects = len(self.targets)
        low_res_logits = answer.low_res_logits[row, :num_objects, 0]  # (n, h, w)
        logits = self.frame.logits_to_source(low_res_logits).float().cpu()  # (n, H, W)
        predicted_iou = answer.iou_predictions[row, :num_objects, 0].float().cpu()  # (n,)
        classes = _class_names(answer, row, num_objects=num_objects)
        if self.low_res_logits is not None:
            asked = self.labels[:, -1] != ABSENT  # (n,)
            logits = torch.where(asked[:, None, None], logits, self.logits)
            predicted_iou = torch.where(asked, predicted_iou, self.predicted_iou)
            old_and_new = zip(asked.tolist(), classes, self.predicted_classes, strict=True)
            classes = tuple(new if is_asked else old for is_asked, new, old in old_and_new)
        return replace(
            self,
            logits=logits,
            predicted_iou=predicted_iou,
            low_res_logits=low_res_logits,
            predicted_classes=classes,
        )

    def answers(self, prompt: Literal["box", "click"], num_clicks: int) -> Iterator[tuple[MaskRecord, Tensor]]:
        """A record and the logits `(H, W)` for each object."""
        ious = iou(self.logits > 0, self.targets).tolist()
        areas = mask_areas(self.targets).tolist()
        for n, (object_iou, area_px) in enumerate(zip(ious, areas, strict=True)):
            clicked = self.labels[n] != ABSENT
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
            )
            yield record, self.logits[n]


@torch.inference_mode()
def _ask_batch(
    model: PromptableModel, batch: Batch, *, clicks: Sequence[int], with_box: bool, objects_per_decode: int
) -> Iterator[tuple[MaskRecord, Tensor]]:
    """Encode the images once and ask for all their objects, a bounded number at a time."""
    num_objects = max((len(sample.masks) for sample in batch.samples), default=0)
    if num_objects == 0:
        return
    device = next(model.parameters()).device if isinstance(model, nn.Module) else batch.masks.device
    embedding = batch.embedded(model.encode_image, device=device)
    for first in range(0, num_objects, objects_per_decode):
        selected = slice(first, first + objects_per_decode)
        images = [_objects(sample, selected, model.image_size) for sample in batch.samples]
        if with_box:
            for objects in _ask(model, embedding, images, with_box=True):
                yield from objects.answers("box", 0)
        for num_clicks in range(1, max(clicks, default=0) + 1):
            images = [objects.with_click() for objects in images]
            if any((objects.labels[:, -1] != ABSENT).any() for objects in images):
                images = _ask(model, embedding, images, with_box=False)
            if num_clicks in clicks:
                for objects in images:
                    yield from objects.answers("click", num_clicks)


def _objects(sample: Sample, selected: slice, image_size: int) -> _Objects:
    targets = sample.masks[selected].cpu()  # (n, H, W)
    empty = (mask_areas(targets) == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"Expected every object to have a pixel, but got an empty mask for object {selected.start + empty[0]} "
            f"of {sample.name}; leave empty masks out of the data set."
        )
    return _Objects(
        sample=sample,
        frame=Frame(source_size=(targets.shape[1], targets.shape[2]), image_size=image_size),
        first_index=selected.start,
        targets=targets,
        boxes=boxes_of_masks(targets),
        points=torch.zeros(len(targets), 0, 2),
        labels=torch.zeros(len(targets), 0, dtype=torch.int64),
        logits=torch.full(targets.shape, -1.0),
        predicted_iou=torch.zeros(len(targets)),
    )


def _ask(
    model: PromptableModel, embedding: ImageEmbedding, images: list[_Objects], *, with_box: bool
) -> list[_Objects]:
    """One decoder call for all objects of all images: with their boxes, or with their clicks and last answers."""
    device = embedding.features.device
    prompts = _box_prompts(images, device) if with_box else _click_prompts(images, device)
    first = prompts.masks is None
    prediction: MaskPrediction = model.decode(embedding, prompts, multimask_output=first).most_confident()
    return [objects.with_answer(prediction, row) for row, objects in enumerate(images)]


def _class_names(answer: MaskPrediction, row: int, *, num_objects: int) -> tuple[str | None, ...]:
    """What a model takes the objects of an image for; None for each if it knows no classes."""
    if answer.class_logits is None:
        return (None,) * num_objects
    indices = answer.class_logits[row, :num_objects, 0].argmax(dim=-1).tolist()
    return tuple(answer.class_names[index] for index in indices)


def _box_prompts(images: list[_Objects], device: torch.device) -> Prompts:
    boxes = pad_sequence([objects.frame.boxes_to_frame(objects.boxes) for objects in images], batch_first=True)
    return Prompts(boxes=boxes.to(device), has_box=_real(images).to(device))  # (B, N, 4), (B, N)


def _click_prompts(images: list[_Objects], device: torch.device) -> Prompts:
    points = pad_sequence([objects.frame.points_to_frame(objects.points) for objects in images], batch_first=True)
    labels = pad_sequence([objects.labels for objects in images], batch_first=True, padding_value=ABSENT)
    last = [objects.low_res_logits for objects in images if objects.low_res_logits is not None]
    return Prompts(
        points=points.to(device),  # (B, N, K, 2)
        labels=labels.to(device),  # (B, N, K)
        masks=pad_sequence(last, batch_first=True) if last else None,  # (B, N, h, w)
        has_mask=_real(images).to(device) if last else None,  # (B, N)
    )


def _real(images: list[_Objects]) -> Tensor:
    """`(B, N)` bool: which places hold an object and are not padding."""
    return pad_sequence([torch.ones(len(objects.targets), dtype=torch.bool) for objects in images], batch_first=True)


def _in_order(records: list[MaskRecord], batch: Batch) -> list[MaskRecord]:
    """Image by image as in the batch, object by object, box first and then by number of clicks."""
    places = {sample.name: place for place, sample in enumerate(batch.samples)}
    return sorted(records, key=lambda record: (places[record.image], record.object_index, record.num_clicks))


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """Switch every module to evaluation, and back to what each one was."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    were_training = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, was_training in zip(modules, were_training, strict=True):
            module.training = was_training
