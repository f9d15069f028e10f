"""mIoU against clicks and with a box: Segment Anything's interactive protocol (Kirillov et al. 2023, appendix D.1).

Each object is asked for on its own: once with the clean box around it, and in rounds of clicks. The first click
lies at the object's centre, every later one at the centre of the largest error (`sam_ft.evaluation.asking.clicks`). The
first round gives three masks, of which the one with the highest *predicted* IoU counts; later rounds give one mask
from all prompts so far and the previous mask's logits. IoU is measured at the source's resolution, and mIoU is the
mean over masks. An object without any error left keeps its prompts and its mask: its IoU is 1 from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from sam_ft.checks import expect_whole_number
from sam_ft.evaluation.asking.asked_objects import Answer, AskedObjects, objects_of
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import SimulatedUser, User
from sam_ft.evaluation.records.mask_record import MaskRecord, PromptKind
from sam_ft.inference.evaluation_mode import evaluation_mode
from sam_ft.types import ABSENT, Batch, ImageEmbedding, PromptableModel, Prompts

_ORDER: tuple[PromptKind, ...] = ("box", "mask", "click")


def evaluate_clicks(
    model: PromptableModel,
    batches: Iterable[Batch],
    *,
    clicks: Sequence[int] = (1, 3, 5),
    with_box: bool = True,
    objects_per_decode: int = 64,
    on_batch: Callable[[list[MaskRecord]], None] | None = None,
    on_prediction: Callable[[MaskRecord, Answer], None] | None = None,
) -> list[MaskRecord]:
    """`evaluate_interactively` with clicks and the box alone, and of several masks the most confident alone.

    Args:
        model: any promptable model; a module is in evaluation mode during the call and as it was afterwards.
        batches: each is moved to the model's device.
        clicks: after which numbers of clicks to record.
        with_box: whether to record the answer to the clean box as well.
        objects_per_decode: as there.
        on_batch: as there.
        on_prediction: as there.

    Returns:
        The records, image by image and object by object: box first, then by number of clicks.

    Raises:
        ValueError: nothing is asked for, or an object has no pixel.
    """
    return evaluate_interactively(
        model,
        batches,
        Questions(clicks=clicks, box=with_box, oracle=False),
        objects_per_decode=objects_per_decode,
        on_batch=on_batch,
        on_prediction=on_prediction,
    )


def evaluate_interactively(
    model: PromptableModel,
    batches: Iterable[Batch],
    questions: Questions,
    *,
    user: User | None = None,
    objects_per_decode: int = 64,
    on_batch: Callable[[list[MaskRecord]], None] | None = None,
    on_prediction: Callable[[MaskRecord, Answer], None] | None = None,
) -> list[MaskRecord]:
    """Ask `model` for every object of `batches` and measure the answers.

    What is measured is every object of `batch.samples`. Images are encoded once; all objects of all images of a
    batch share one decoder call per round.

    Args:
        model: any promptable model; a module is in evaluation mode during the call and as it was afterwards.
        batches: each is moved to the model's device.
        questions: what each object is asked for with.
        user: who clicks; None: `SimulatedUser`.
        objects_per_decode: a bound on memory: images with more objects take several decoder calls per round,
            with the same result.
        on_batch: receives each batch's records when they are there, for showing progress.
        on_prediction: receives each record `in_summary`, as answers come, round by round, with a function that gives
            the logits `(H, W)` float32 of the mask at the source's resolution, on the CPU; a pixel belongs to the mask
            where the logit is above 0. It works them out only when it is called.

    Returns:
        The records, image by image and object by object: box first, then box and clicks, the mask alone, and clicks,
        by their number. Empty if there are no objects.

    Raises:
        ValueError: an object has no pixel, or the user knows no click for it.
    """
    expect_whole_number("objects_per_decode", objects_per_decode, least=1)
    all_records: list[MaskRecord] = []
    with evaluation_mode(model):
        for batch in batches:
            records = []
            for record, answer in _ask_batch(
                model, batch, questions, user=user or SimulatedUser(), objects_per_decode=objects_per_decode
            ):
                records.append(record)
                if on_prediction is not None and record.in_summary:
                    on_prediction(record, answer)
            records = _in_order(records, batch)
            if on_batch is not None:
                on_batch(records)
            all_records += records
    return all_records


@torch.inference_mode()
def _ask_batch(
    model: PromptableModel, batch: Batch, questions: Questions, *, user: User, objects_per_decode: int
) -> Iterator[tuple[MaskRecord, Answer]]:
    """Encode the images once and ask for all their objects, a bounded number at a time."""
    num_objects = max((len(sample.masks) for sample in batch.samples), default=0)
    if num_objects == 0:
        return
    device = next(model.parameters()).device if isinstance(model, nn.Module) else batch.masks.device
    embedding = batch.embedded(model.encode_image, device=device)
    conversation = _Conversation(model, embedding, questions, user)
    for first in range(0, num_objects, objects_per_decode):
        selected = slice(first, first + objects_per_decode)
        images = [objects_of(sample, selected, image_size=model.image_size) for sample in batch.samples]
        yield from conversation.about_boxes(images)
        yield from conversation.rounds(images, "click", questions.clicks)


@dataclass(frozen=True)
class _Conversation:
    """What is asked about some objects of each of B images; each call of the model is about all of them."""

    model: PromptableModel
    embedding: ImageEmbedding
    questions: Questions
    user: User

    def about_boxes(self, images: list[AskedObjects]) -> Iterator[tuple[MaskRecord, Answer]]:
        """The answers to the boxes, and to what goes on from these."""
        if not (self.questions.box or self.questions.mask or self.questions.box_clicks):
            return
        boxed = self._ask(images, _prompts(images, with_box=True))
        if self.questions.box:
            for objects in boxed:
                yield from objects.answers("box", 0, boundary=self.questions.boundary)
        if self.questions.mask:
            for objects in self._ask(images, _prompts(boxed, with_points=False)):
                yield from objects.answers("mask", 0, boundary=self.questions.boundary)
        yield from self.rounds(boxed, "box", self.questions.box_clicks)

    def rounds(
        self, images: list[AskedObjects], prompt: PromptKind, counts: Sequence[int]
    ) -> Iterator[tuple[MaskRecord, Answer]]:
        """Round after round, one more click for each object."""
        for num_clicks in range(1, max(counts, default=0) + 1):
            images = [objects.with_click(*self.user(objects, prompt)) for objects in images]
            if any((objects.labels[:, -1] != ABSENT).any() for objects in images):
                images = self._ask(images, _prompts(images, with_box=prompt == "box"))
            if prompt == "click":
                images = [objects.with_reached(num_clicks) for objects in images]
            if (is_wanted := num_clicks in counts) or self.questions.every_round:
                for objects in images:
                    yield from objects.answers(
                        prompt, num_clicks, boundary=self.questions.boundary and is_wanted, in_summary=is_wanted
                    )

    def _ask(self, images: list[AskedObjects], prompts: Prompts) -> list[AskedObjects]:
        """One decoder call for all objects of all images; a first prompt has three answers, a later one has one."""
        is_first = prompts.masks is None
        offered = self.model.decode(self.embedding, _on(prompts, self.embedding), multimask_output=is_first)
        best = offered.most_confident()
        images = [objects.with_answer(best, row) for row, objects in enumerate(images)]
        if is_first and self.questions.oracle:
            images = [objects.with_oracle(offered, row) for row, objects in enumerate(images)]
        return images


def _prompts(images: list[AskedObjects], *, with_box: bool = False, with_points: bool = True) -> Prompts:
    """The clicks of all objects, if they have any, with their last answers, and with their boxes if wanted."""
    is_real = pad_sequence(
        [torch.ones(len(objects.targets), dtype=torch.bool) for objects in images], batch_first=True
    )  # (B, N): which places hold an object and are not padding
    with_points = with_points and any(objects.labels.shape[1] for objects in images)
    last = [objects.low_res_logits for objects in images if objects.low_res_logits is not None]
    return Prompts(
        points=_padded([objects.frame.points_to_frame(objects.points) for objects in images]) if with_points else None,
        labels=_padded([objects.labels for objects in images], ABSENT) if with_points else None,
        boxes=_padded([objects.frame.boxes_to_frame(objects.boxes) for objects in images]) if with_box else None,
        has_box=is_real if with_box else None,
        masks=_padded(last) if last else None,
        has_mask=is_real if last and not is_real.all() else None,
    )


def _padded(tensors: list[Tensor], value: float = 0) -> Tensor:
    """B times (n, ...) -> (B, N, ...)."""
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def _on(prompts: Prompts, embedding: ImageEmbedding) -> Prompts:
    """The prompts on the device of the embedding."""
    device = embedding.features.device
    tensors = {name: value.to(device) for name, value in vars(prompts).items() if value is not None}
    return Prompts(**tensors)


def _in_order(records: list[MaskRecord], batch: Batch) -> list[MaskRecord]:
    """Image by image as in the batch, object by object, and by prompt and number of clicks."""
    places = {sample.name: place for place, sample in enumerate(batch.samples)}

    def place(record: MaskRecord) -> tuple[int, int, int, int]:
        return places[record.image], record.object_index, _ORDER.index(record.prompt), record.num_clicks

    return sorted(records, key=place)
