"""The protocol on models that know the truth, so that every IoU is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from sam_ft.evaluation.asking.interactive import evaluate_clicks, evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.summaries import summarise
from sam_ft.transforms import Frame
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, Batch, ImageEmbedding, MaskPrediction, Prompts, Sample

SIZE = 32


class Oracle:
    """Finds the prompted object by its box or its first click and answers with `answer(mask, num_clicks)`.

    `num_clicks` is 0 with a box. Of several masks the second holds the answer and claims the highest IoU. An absent
    object gets noise. Masks are handed out at the frame's full resolution, so that nothing is lost on the way.
    """

    def __init__(self, answer: Callable[[Tensor, int], Tensor] = lambda mask, _: mask) -> None:
        self.image_size = SIZE
        self.answer = answer
        self.calls: list[tuple[Prompts, bool | None]] = []
        self.num_encoded = 0

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        self.num_encoded += len(images)
        return ImageEmbedding(features=images[:, :1])  # the picture shows each object in its own grey

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        self.calls.append((prompts, multimask_output))
        given = prompts.boxes if prompts.boxes is not None else prompts.labels
        assert given is not None
        batch_size, num_objects = given.shape[:2]
        num_masks = 3 if multimask_output else 1
        logits = torch.randn(batch_size, num_objects, num_masks, SIZE, SIZE)
        iou_predictions = torch.zeros(batch_size, num_objects, num_masks)
        iou_predictions[..., num_masks // 2] = 0.75
        for b in range(batch_size):
            for n in range(num_objects):
                mask = self._answer(embedding.features[b, 0], prompts, b, n)
                if mask is not None:
                    logits[b, n, num_masks // 2] = mask.float() * 20 - 10
        return MaskPrediction(low_res_logits=logits, iou_predictions=iou_predictions)

    def _answer(self, picture: Tensor, prompts: Prompts, b: int, n: int) -> Tensor | None:
        if prompts.boxes is not None and prompts.has_box is not None:
            x, y = prompts.boxes[b, n, :2].round().long().tolist()
            return self.answer(picture == picture[y, x], 0) if prompts.has_box[b, n] else None
        assert prompts.points is not None and prompts.labels is not None
        if (prompts.labels[b, n] == ABSENT).all():
            return None
        x, y = prompts.points[b, n, 0].round().long().tolist()
        return self.answer(picture == picture[y, x], prompts.labels.shape[2])


def left_half(mask: Tensor, _: int) -> Tensor:
    """A square of even size without its right half: IoU 0.5."""
    return mask & mask.roll(-int(mask.sum().sqrt()) // 2, dims=1)


def half_then_whole(mask: Tensor, num_clicks: int) -> Tensor:
    return left_half(mask, 0) if num_clicks == 1 else mask


def sample(name: str, *corners: tuple[int, int], height: int = SIZE, width: int = SIZE, size: int = 8) -> Sample:
    """Squares of `size` pixels at the given (top, left) corners, each painted in its own grey."""
    masks = torch.zeros(len(corners), height, width, dtype=torch.bool)
    for mask, (top, left) in zip(masks, corners, strict=True):
        mask[top : top + size, left : left + size] = True
    grey = (masks * torch.arange(1, len(corners) + 1)[:, None, None]).sum(dim=0) * 20
    return Sample(
        image=grey.to(torch.uint8)[..., None].repeat(1, 1, 3),
        masks=masks,
        class_names=tuple("even" if index % 2 == 0 else "odd" for index in range(len(corners))),
        name=name,
    )


def batch_of(*samples: Sample) -> Batch:
    frames = [Frame(source_size=tuple(item.masks.shape[1:]), image_size=SIZE) for item in samples]
    num_objects = max(len(item.masks) for item in samples)
    masks = torch.zeros(len(samples), num_objects, SIZE, SIZE, dtype=torch.bool)
    valid = torch.zeros(len(samples), num_objects, dtype=torch.bool)
    images = torch.zeros(len(samples), 3, SIZE, SIZE)
    for b, (item, frame) in enumerate(zip(samples, frames, strict=True)):
        masks[b, : len(item.masks)] = frame.masks_to_frame(item.masks)
        valid[b, : len(item.masks)] = True
        for mask, grey in zip(masks[b], range(1, num_objects + 1), strict=True):
            images[b, :, mask] = grey
    return Batch(images=images, masks=masks, valid=valid, samples=samples)


THREE = sample("three", (2, 2), (2, 20), (20, 8))
ONE = sample("one", (12, 12), size=12)


def test_a_model_that_knows_the_truth_scores_one_everywhere() -> None:
    summary = summarise(evaluate_clicks(Oracle(), [batch_of(THREE, ONE)]))
    assert summary == {"miou@1": 1, "miou@3": 1, "miou@5": 1, "miou@box": 1, "num_masks": 4, "num_images": 2}


def test_half_an_object_scores_one_half() -> None:
    records = evaluate_clicks(Oracle(left_half), [batch_of(THREE, ONE)], clicks=(1, 2))
    assert [record.iou for record in records] == [0.5] * 12
    assert {record.predicted_iou for record in records} == {0.75}


def test_a_second_click_that_repairs_counts_from_the_second_round_on() -> None:
    summary = summarise(evaluate_clicks(Oracle(half_then_whole), [batch_of(THREE)], clicks=(1, 2, 5), with_box=False))
    assert summary == {"miou@1": 0.5, "miou@2": 1, "miou@5": 1, "num_masks": 3, "num_images": 1}


def test_the_second_click_lies_in_the_missing_half() -> None:
    records = evaluate_clicks(Oracle(half_then_whole), [batch_of(ONE)], clicks=(1, 2), with_box=False)
    assert records[0].points == ((17, 17),)
    (_, (x, y)) = records[1].points
    assert records[1].labels == (FOREGROUND, FOREGROUND)
    assert 18 <= x < 24
    assert 12 <= y < 24


def test_a_mask_that_is_too_large_gets_a_background_click_outside_the_object() -> None:
    def shifted(mask: Tensor, num_clicks: int) -> Tensor:
        return mask | mask.roll(8, dims=1)

    record = evaluate_clicks(Oracle(shifted), [batch_of(THREE)], clicks=(2,), with_box=False)[0]
    assert record.iou == 0.5
    assert record.labels == (FOREGROUND, BACKGROUND)
    x, y = record.points[1]
    assert 10 <= x < 18
    assert 2 <= y < 10


def test_an_object_without_error_keeps_its_clicks_and_ends_the_decoding() -> None:
    model = Oracle(half_then_whole)
    record = evaluate_clicks(model, [batch_of(THREE)], clicks=(5,), with_box=False)[0]
    assert record.num_clicks == 5
    assert len(record.points) == len(record.labels) == 2
    assert len(model.calls) == 2


def test_a_finished_object_is_left_alone_while_its_neighbour_goes_on() -> None:
    def small_ones_first(mask: Tensor, num_clicks: int) -> Tensor:
        finished = num_clicks == (1 if mask.sum() == 64 else 3)
        return mask if finished else left_half(mask, 0)

    model = Oracle(small_ones_first)
    records = evaluate_clicks(model, [batch_of(THREE, ONE)], clicks=(1, 3), with_box=False)
    assert [record.iou for record in records] == [1, 1] * 3 + [0.5, 1]
    assert [len(record.points) for record in records] == [1, 1] * 3 + [1, 3]
    labels = model.calls[2][0].labels
    assert labels is not None
    assert labels[0].tolist() == [[FOREGROUND, ABSENT, ABSENT]] * 3
    assert (labels[1, 0] != ABSENT).all()
    assert (labels[1, 1:] == ABSENT).all()


def test_first_round_has_three_masks_and_later_rounds_feed_the_chosen_one_back() -> None:
    model = Oracle(left_half)
    evaluate_clicks(model, [batch_of(THREE, ONE)], clicks=(3,), with_box=True)
    (box, box_multimask), (first, first_multimask), *later = model.calls
    assert (box_multimask, first_multimask, [multimask for _, multimask in later]) == (True, True, [False, False])
    assert box.points is None and box.masks is None
    assert box.has_box is not None and box.has_box.tolist() == [[True] * 3, [True, False, False]]
    assert first.masks is None and first.boxes is None
    for number, (prompts, _) in enumerate(later, start=2):
        assert prompts.points is not None and prompts.points.shape == (2, 3, number, 2)
        assert prompts.has_mask is not None and prompts.has_mask.tolist() == [[True] * 3, [True, False, False]]
        assert prompts.masks is not None
        expected = left_half(batch_of(THREE).masks[0, 2], 0).float() * 20 - 10
        torch.testing.assert_close(prompts.masks[0, 2], expected)


def test_boxes_and_points_reach_the_model_in_its_frame() -> None:
    wide = sample("wide", (4, 10), height=32, width=64, size=10)
    model = Oracle()
    records = evaluate_clicks(model, [batch_of(wide)], clicks=(1,))
    assert records[0].box == (10, 4, 19, 13)
    assert records[1].points == ((14, 8),)
    box, first = model.calls[0][0].boxes, model.calls[1][0].points
    assert box is not None and box.flatten().tolist() == [5, 2, 9, 6]  # half as many pixels, from the same one on
    assert first is not None and first.flatten().tolist() == [6.75, 3.75]  # of pixel 14 the centre is at 14.5


def test_iou_is_measured_at_the_resolution_of_the_source() -> None:
    small = sample("small", (2, 2), height=16, width=16, size=4)

    def without_first_column(mask: Tensor, _: int) -> Tensor:
        return mask & mask.roll(1, dims=1)

    (record,) = evaluate_clicks(Oracle(without_first_column), [batch_of(small)], clicks=(1,), with_box=False)
    assert record.area_px == 16
    assert record.iou == 3 / 4  # in the frame, twice as fine, it would be 7 / 8


def test_batched_equals_looped_and_padded_objects_change_nothing() -> None:
    together = evaluate_clicks(Oracle(left_half), [batch_of(THREE, ONE)])
    alone = evaluate_clicks(Oracle(left_half), [batch_of(THREE), batch_of(ONE)])
    assert together == alone


def test_a_bound_on_the_objects_per_decode_changes_nothing_but_the_number_of_calls() -> None:
    whole, parted = Oracle(left_half), Oracle(left_half)
    expected = evaluate_clicks(whole, [batch_of(THREE, ONE)])
    assert evaluate_clicks(parted, [batch_of(THREE, ONE)], objects_per_decode=2) == expected
    assert (len(whole.calls), len(parted.calls)) == (6, 12)
    assert whole.num_encoded == parted.num_encoded == 2


def test_records_come_in_the_order_of_the_samples() -> None:
    records = evaluate_clicks(Oracle(), [batch_of(ONE, THREE)], clicks=(3, 1), objects_per_decode=1)
    assert [(record.image, record.object_index, record.prompt, record.num_clicks) for record in records] == [
        (image, index, prompt, num_clicks)
        for image, index in [("one", 0), ("three", 0), ("three", 1), ("three", 2)]
        for prompt, num_clicks in [("box", 0), ("click", 1), ("click", 3)]
    ]
    assert [record.class_name for record in records[::3]] == ["even", "even", "odd", "even"]


def test_an_image_without_objects_is_passed_over() -> None:
    nothing = sample("nothing")
    assert evaluate_clicks(Oracle(), [batch_of(nothing)]) == []
    records = evaluate_clicks(Oracle(), [batch_of(nothing, THREE)])
    assert {record.image for record in records} == {"three"}
    assert summarise(records)["miou@1"] == 1


def test_an_empty_object_is_named() -> None:
    broken = sample("broken.png", (2, 2), (9, 9))
    broken.masks[1] = False
    with pytest.raises(ValueError, match=r"object 1 of broken\.png"):
        evaluate_clicks(Oracle(), [batch_of(broken)])


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        evaluate_clicks(Oracle(), [], clicks=(), with_box=False)
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_clicks(Oracle(), [], clicks=(0,))
    with pytest.raises(ValueError, match="holds no objects"):
        summarise([])


def test_predictions_are_handed_out_with_their_records() -> None:
    masks: dict[MaskRecord, Tensor] = {}
    truth = {"three": THREE.masks, "one": ONE.masks}
    batches: list[int] = []
    records = evaluate_clicks(
        Oracle(half_then_whole),
        [batch_of(THREE, ONE), batch_of(sample("more", (3, 3)))],
        on_batch=lambda records: batches.append(len(records)),
        on_prediction=lambda record, logits: masks.update({record: logits() > 0}),
    )
    assert set(masks) == set(records)
    assert batches == [16, 4]
    for record in records[:16]:
        assert masks[record].sum() / record.area_px == (0.5 if record.num_clicks == 1 else 1)
        assert not (masks[record] & ~truth[record.image][record.object_index]).any()


class Module(nn.Module):
    """An oracle with parts, one of which the user has frozen in evaluation mode."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.image_size = SIZE
        self.fails = fails
        self.frozen, self.trained = nn.Linear(1, 1), nn.Dropout(0.5)
        self.oracle = Oracle()
        self.train()
        self.frozen.eval()

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        assert not any(module.training for module in self.modules())
        assert torch.is_inference_mode_enabled()
        if self.fails:
            raise RuntimeError
        return self.oracle.encode_image(images)

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        return self.oracle.decode(embedding, prompts, multimask_output=multimask_output)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was_afterwards(fails: bool) -> None:
    model = Module(fails=fails)
    if fails:
        with pytest.raises(RuntimeError):
            evaluate_clicks(model, [batch_of(ONE)])
    else:
        assert len(evaluate_clicks(model, [batch_of(ONE)])) == 4
    assert [model.training, model.frozen.training, model.trained.training] == [True, False, True]
    assert not torch.is_inference_mode_enabled()


class ClassOracle(Oracle):
    """Tells one class by a box, another by clicks; the masks that are not the most confident tell a third."""

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        answer = super().decode(embedding, prompts, multimask_output=multimask_output)
        told = 1 if prompts.boxes is not None else 2
        class_logits = torch.tensor([9.0, 0.0, 0.0]).repeat(*answer.iou_predictions.shape, 1)
        class_logits[:, :, answer.iou_predictions.shape[2] // 2, told] = 10.0
        return replace(answer, class_logits=class_logits, class_names=("bone", "lesion", "cord"))


def test_the_class_is_that_of_the_most_confident_mask() -> None:
    batch = batch_of(THREE, sample("one", (5, 5)))
    records = evaluate_clicks(ClassOracle(), [batch], clicks=(1, 3))
    assert {record.predicted_class for record in records if record.prompt == "box"} == {"lesion"}
    # Once no error is left, the old answer stays, its class too.
    assert {record.predicted_class for record in records if record.prompt == "click"} == {"cord"}
    assert {record.predicted_class for record in evaluate_clicks(Oracle(), [batch], clicks=(1,))} == {None}


def four_columns_too_wide(mask: Tensor, _: int) -> Tensor:
    return mask | mask.roll(4, dims=1)


@pytest.mark.parametrize("num_columns, iou", [(0, 12 / 16), (2, 12 / 14), (4, 1.0)])
def test_where_nobody_knows_what_there_is_an_answer_is_not_wrong(num_columns: int, iou: float) -> None:
    """Neither for IoU and the best of three masks nor for boundaries, and nobody clicks there."""
    ignored = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    ignored[:, 24 : 24 + num_columns] = True
    ignored[12:16, 12:16] = True  # of the object, which is known all the same
    batch = batch_of(replace(ONE, ignored=ignored))
    questions = Questions(clicks=(1, 2), box=False, boundary=True)
    first, second = evaluate_interactively(Oracle(four_columns_too_wide), [batch], questions)
    assert first.iou == pytest.approx(iou) and first.area_px == 144
    assert first.boundary_iou is not None and (first.boundary_iou == 1) == (iou == 1)
    assert first.oracle_iou is not None and first.oracle_iou >= first.iou
    clicks = second.points[1:]
    assert all(24 + num_columns <= x < 28 for x, _ in clicks) and len(clicks) == (iou < 1)
    assert second.labels[1:] == (BACKGROUND,) * (iou < 1)


def test_a_pixel_of_another_object_is_known_even_if_it_is_ignored() -> None:
    neighbours = sample("two", (12, 4), (12, 12))
    batch = batch_of(replace(neighbours, ignored=neighbours.masks[1]))
    first, _ = evaluate_clicks(Oracle(four_columns_too_wide), [batch], clicks=(1,), with_box=False)
    assert first.iou == pytest.approx(8 / 12)
