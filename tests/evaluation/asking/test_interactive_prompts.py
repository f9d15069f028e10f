"""Prompts beyond single clicks and boxes: boxes with clicks, masks alone, other first clicks, recorded clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.interactive import evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import RecordedUser, SimulatedUser
from sam_ft.evaluation.records.mask_record import MaskRecord, of_summary, prompt_order
from sam_ft.evaluation.records.number_of_clicks import clicks_needed, clicks_to
from sam_ft.evaluation.records.parts import whole_summary
from sam_ft.metrics.boundary import boundary_iou
from sam_ft.models.sam.variants import build_model
from sam_ft.types import FOREGROUND, Batch, ImageEmbedding, MaskPrediction, Prompts, Sample

SIZE = 32
TRUTH = torch.zeros(SIZE, SIZE, dtype=torch.bool)
TRUTH[4:24, 8:28] = True  # 20 by 20 pixels
SYNTHETIC = Synthetic(3, image_size=64)


def part(share: float) -> Tensor:
    """The first rows of the object: an answer of this IoU."""
    mask = TRUTH.clone()
    mask[4 + round(20 * share) :] = False
    return mask


class Script:
    """Answers the one object with masks of given IoUs, the first of which is the most confident."""

    def __init__(self, answers: Callable[[Prompts], Sequence[float]]) -> None:
        self.image_size = SIZE
        self.answers = answers
        self.calls: list[tuple[Prompts, bool | None]] = []

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images[:, :1])

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        self.calls.append((prompts, multimask_output))
        masks = torch.stack([part(share) for share in self.answers(prompts)])[: 3 if multimask_output else 1]
        confidence = torch.linspace(0.9, 0.1, 3)[: len(masks)]
        return MaskPrediction(
            low_res_logits=masks[None, None].float() * 20 - 10, iou_predictions=confidence[None, None]
        )


def num_clicks(prompts: Prompts) -> int:
    return 0 if prompts.labels is None else prompts.labels.shape[2]


def batch_of(name: str = "a") -> Batch:
    image = torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8)
    sample = Sample(image=image, masks=TRUTH[None], class_names=("object",), name=name)
    return Batch(
        images=torch.zeros(1, 3, SIZE, SIZE),
        masks=TRUTH[None, None],
        valid=torch.ones(1, 1, dtype=torch.bool),
        samples=(sample,),
    )


def ask(answers: Callable[[Prompts], Sequence[float]], questions: Questions) -> tuple[list[MaskRecord], Script]:
    model = Script(answers)
    return evaluate_interactively(model, [batch_of()], questions), model


def test_a_box_stays_a_prompt_beside_the_clicks_that_correct_it() -> None:
    records, model = ask(
        lambda prompts: [0.25 + 0.25 * num_clicks(prompts)] * 3, Questions(clicks=(), box_clicks=(1, 3))
    )
    assert [(each.prompt, each.num_clicks, each.iou) for each in records] == [
        ("box", 0, 0.25),
        ("box", 1, 0.5),
        ("box", 3, 1.0),
    ]
    assert [len(each.points) for each in records] == [0, 1, 3]
    assert {each.box for each in records} == {(8, 4, 27, 23)}
    (_, first), *later = model.calls
    assert first is True and [multimask for _, multimask in later] == [False] * 3
    for turn, (prompts, _) in enumerate(later, start=1):
        assert prompts.boxes is not None and prompts.has_box is not None and prompts.has_box.all()
        assert prompts.labels is not None and prompts.labels.shape == (1, 1, turn)
        assert prompts.masks is not None
        torch.testing.assert_close(prompts.masks[0, 0], part(0.25 * turn).float() * 20 - 10)


def test_clicks_after_a_box_do_not_touch_those_without_one() -> None:
    answers: Callable[[Prompts], list[float]] = lambda prompts: [0.25 * (1 + num_clicks(prompts))] * 3  # noqa: E731
    alone, _ = ask(answers, Questions(clicks=(1, 2), box=False))
    together, _ = ask(answers, Questions(clicks=(1, 2), box_clicks=(2,), mask=True))
    assert [each for each in together if each.prompt == "click"] == alone
    kinds = [(each.prompt, each.num_clicks) for each in together]
    assert kinds == [("box", 0), ("box", 2), ("mask", 0), ("click", 1), ("click", 2)]


def test_a_mask_alone_is_the_answer_to_the_box_without_the_box() -> None:
    records, model = ask(
        lambda prompts: [0.75] if prompts.boxes is None else [0.5, 1.0, 0.1], Questions((), box=False, mask=True)
    )
    assert [(each.prompt, each.num_clicks, each.iou, each.box) for each in records] == [("mask", 0, 0.75, None)]
    _, (prompts, multimask) = model.calls
    assert prompts.points is None and prompts.boxes is None and prompts.masks is not None and multimask is False
    torch.testing.assert_close(prompts.masks[0, 0], part(0.5).float() * 20 - 10)


def test_boundaries_are_measured_where_that_is_asked_for() -> None:
    answers: Callable[[Prompts], list[float]] = lambda prompts: [0.25 + 0.25 * num_clicks(prompts)] * 3  # noqa: E731
    plain, _ = ask(answers, Questions(clicks=(1, 3)))
    assert [each.boundary_iou for each in plain] == [None] * 3
    measured, _ = ask(answers, Questions(clicks=(1, 3), boundary=True))
    assert [replace(each, boundary_iou=None) for each in measured] == plain
    expected = [boundary_iou(part(share), TRUTH).item() for share in (0.25, 0.5, 1.0)]
    assert [each.boundary_iou for each in measured] == expected
    assert 0 < expected[0] < expected[1] < expected[2] == 1 and expected[1] != plain[1].iou


def test_the_best_of_three_masks_is_measured_beside_the_most_confident() -> None:
    records, _ = ask(lambda prompts: [0.5, 0.25, 0.9], Questions(clicks=(1, 2)))
    found = [(each.prompt, each.num_clicks, each.iou, each.oracle_iou) for each in records]
    assert found == [
        ("box", 0, 0.5, pytest.approx(0.9)),
        ("click", 1, 0.5, pytest.approx(0.9)),
        ("click", 2, 0.5, None),
    ]
    records, _ = ask(lambda prompts: [0.5, 0.25, 0.9], Questions(oracle=False))
    assert {each.oracle_iou for each in records} == {None}


def test_an_answer_without_any_error_left_has_no_best_of_three_later() -> None:
    records, model = ask(lambda prompts: [1.0, 0.5, 0.5], Questions(clicks=(1, 3), box=False))
    assert [(each.iou, each.oracle_iou) for each in records] == [(1.0, 1.0), (1.0, None)]
    assert len(model.calls) == 1


def test_the_clicks_until_an_iou_are_counted_in_every_round_and_do_not_fall_back() -> None:
    shares = [0.5, 0.85, 0.9, 0.8, 0.95]
    records, _ = ask(
        lambda prompts: [shares[num_clicks(prompts) - 1]] * 3, Questions(clicks=(1, 4, 5), box_clicks=(5,))
    )
    clicked = {each.num_clicks: (each.clicks_to_85, each.clicks_to_90) for each in records if each.prompt == "click"}
    assert clicked == {1: (None, None), 4: (2, 3), 5: (2, 3)}
    assert {(each.clicks_to_85, each.clicks_to_90) for each in records if each.prompt == "box"} == {(None, None)}


@pytest.mark.parametrize("rule", ["random", "centre_of_mass", "centre"])
def test_the_first_click_follows_the_rule_and_later_ones_the_error(rule: str) -> None:
    user = SimulatedUser(first_click=rule)  # type: ignore[arg-type]
    (record,) = evaluate_interactively(
        Script(lambda prompts: [0.5] * 3), [batch_of()], Questions((2,), box=False), user=user
    )
    (x, y), second = record.points
    assert TRUTH[int(y), int(x)] and second == (12, 18)  # the first of the deepest pixels of the lower half
    assert record.labels == (FOREGROUND, FOREGROUND)
    if rule != "random":
        assert (x, y) == {"centre_of_mass": (18, 14), "centre": (17, 13)}[rule]


def test_a_random_first_click_does_not_depend_on_the_batch() -> None:
    model = build_model("vit_tiny", image_size=64).eval()

    def points(batch_size: int, *, seed: int = 0) -> list[tuple[tuple[float, float], ...]]:
        batches = whole_batches(SYNTHETIC, image_size=64, batch_size=batch_size)
        user = SimulatedUser("random", seed=seed)
        return [each.points for each in evaluate_interactively(model, batches, Questions((1,), box=False), user=user)]

    assert points(1) == points(3)
    assert points(1) != points(1, seed=1)


@pytest.mark.parametrize(
    "given, expected", [({"first_click": "middle"}, "centre, random, centre_of_mass"), ({"seed": -1}, "`seed`")]
)
def test_a_user_that_is_not_known_is_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SimulatedUser(**given)  # type: ignore[arg-type]


QUESTIONS = Questions(clicks=(1, 2, 4), box_clicks=(2,))


@pytest.fixture(scope="module")
def recorded() -> list[MaskRecord]:
    """Of a model that is wrong everywhere, with random first clicks."""
    torch.manual_seed(0)
    batches = whole_batches(SYNTHETIC, image_size=64, batch_size=2)
    model = build_model("vit_tiny", image_size=64)
    return evaluate_interactively(model, batches, QUESTIONS, user=SimulatedUser("random"))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_model_asked_with_its_own_clicks_gives_its_own_answers(recorded: list[MaskRecord], batch_size: int) -> None:
    torch.manual_seed(0)
    model = build_model("vit_tiny", image_size=64)
    batches = whole_batches(SYNTHETIC, image_size=64, batch_size=batch_size)
    again = evaluate_interactively(model, batches, QUESTIONS, user=RecordedUser(recorded, source="a.csv"))
    assert [replace(each, iou=0, predicted_iou=0, oracle_iou=None) for each in again] == [
        replace(each, iou=0, predicted_iou=0, oracle_iou=None) for each in recorded
    ]
    assert [each.iou for each in again] == pytest.approx([each.iou for each in recorded], abs=1e-6)


def test_another_model_is_asked_with_the_same_clicks(recorded: list[MaskRecord]) -> None:
    torch.manual_seed(1)
    other = build_model("vit_tiny", image_size=64)
    batches = whole_batches(SYNTHETIC, image_size=64, batch_size=3)
    own = evaluate_interactively(other, batches, QUESTIONS, user=SimulatedUser("random"))
    replayed = evaluate_interactively(other, batches, QUESTIONS, user=RecordedUser(recorded, source="a.csv"))
    expected = [(each.points, each.labels, each.box) for each in recorded]
    assert [(each.points, each.labels, each.box) for each in replayed] == expected
    assert [(each.points, each.labels, each.box) for each in own] != expected


def test_where_the_recorded_user_was_content_nothing_more_is_asked() -> None:
    finished, _ = ask(lambda prompts: [1.0] * 3, Questions((3,), box=False))
    model = Script(lambda prompts: [0.5] * 3)
    (record,) = evaluate_interactively(
        model, [batch_of()], Questions((3,), box=False), user=RecordedUser(finished, source="a.csv")
    )
    assert len(record.points) == 1 and record.iou == 0.5 and len(model.calls) == 1


@pytest.mark.parametrize(
    "change, questions, expected",
    [
        ({}, Questions((3,), box=False), "at least 3 recorded clicks for object 0 of a, but x.csv has 2"),
        ({}, Questions((), box_clicks=(1,)), "at least 1 recorded clicks after the box .* has 0"),
        ({"image": "b"}, Questions((1,), box=False), "object 0 of a, but x.csv has 0"),
        ({"area_px": 7}, Questions((1,), box=False), "object 0 of a has 400 pixels and not 7"),
    ],
)
def test_records_of_something_else_are_refused(change: dict[str, object], questions: Questions, expected: str) -> None:
    records, _ = ask(lambda prompts: [0.5] * 3, Questions((2,), box=False))
    user = RecordedUser([replace(each, **change) for each in records], source="x.csv")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=expected):
        evaluate_interactively(Script(lambda prompts: [0.5] * 3), [batch_of()], questions, user=user)


def test_every_round_is_recorded_and_figures_are_of_the_wanted_ones_alone() -> None:
    """The answers are those of an evaluation that asks for these rounds; NoC follows from them at any IoU."""
    shares = [0.3, 0.5, 0.85, 0.9, 0.8, 0.95]
    model = Script(lambda prompts: [shares[num_clicks(prompts)]] * 3)
    asked = Questions(clicks=(1, 5), box_clicks=(2,), oracle=False, boundary=True)
    shown: list[MaskRecord] = []
    few = evaluate_interactively(model, [batch_of()], asked)
    every = evaluate_interactively(
        model, [batch_of()], replace(asked, every_round=True), on_prediction=lambda record, _: shown.append(record)
    )
    assert of_summary(every) == few and sorted(map(prompt_order, shown)) == sorted(map(prompt_order, few))
    assert whole_summary(every) == whole_summary(few)
    between = [(each.prompt, each.num_clicks) for each in every if not each.in_summary]
    assert between == [("box", 1), ("click", 2), ("click", 3), ("click", 4)]
    counted = {iou: clicks_to(every, iou).values for iou in (0.4, 0.5, 0.8, 0.85, 0.9, 0.95, 0.97)}
    assert counted == {0.4: [1], 0.5: [1], 0.8: [2], 0.85: [2], 0.9: [3], 0.95: [5], 0.97: [5]}
    for iou, key in ((0.85, "noc@85"), (0.9, "noc@90")):
        assert clicks_to(every, iou) == clicks_needed(few)[key]
    with pytest.raises(ValueError, match="every round of clicks .* but got those of 1, 5 clicks for object 0 of a"):
        clicks_to(few, 0.5)
