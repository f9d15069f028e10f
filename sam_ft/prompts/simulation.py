"""Rounds of simulated prompts: a first one, then clicks where the model is wrong.

Source: Kirillov et al. 2023 (SAM), appendix A, "Training algorithm". What it leaves open:

- A lone box counts as one prompt, and is answered by three masks, if the preset says so.
- Where the prediction is already right, the click is a random one on the background, as in SAM 2's code.
- In rounds on the mask alone, the earlier prompts stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.masks.distance import centre_point
from sam_ft.prompts.presets import InteractivePreset
from sam_ft.prompts.sampling import jittered_box, uniform_point
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, MaskPrediction, Prompts

Decode = Callable[[Prompts, bool | None], MaskPrediction]
"""(prompts, multimask_output) -> prediction, with the image embedding already in place."""


@dataclass(frozen=True)
class Round:
    """What was asked, what the model answered, and which of its masks are the answer."""

    prompts: Prompts
    prediction: MaskPrediction
    candidates: Tensor  # (B, N, M) bool


@dataclass(frozen=True)
class Truth:
    """The objects that the simulated person has in mind."""

    masks: Tensor  # (B, N, S, S) bool
    valid: Tensor  # (B, N) bool
    inside: Tensor  # (B, 1, S, S) bool: the image without its padding, where prompts may lie


def simulate_rounds(
    decode: Decode, truth: Truth, preset: InteractivePreset, *, generator: torch.Generator
) -> Iterator[Round]:
    """Prompt, predict, look at the errors, prompt again.

    Predictions carry their gradient; choosing the next click does not.

    Args:
        decode: the model with the image embedding already in place.
        truth: what to segment.
        preset: which prompts, and how many rounds.
        generator: the source of all randomness.

    Yields:
        `preset.num_rounds` rounds, or fewer where the preset draws their number.
    """
    prompts, ambiguous = first_prompts(truth, preset, generator)
    answer = _ask(decode, prompts, ambiguous, truth.valid)
    yield answer
    single = torch.zeros_like(ambiguous)
    for adds_click in plan_rounds(preset, generator):
        with torch.no_grad():
            logits = chosen_logits(answer)
            prompts = replace(prompts, masks=logits, has_mask=truth.valid)
            if adds_click:
                prompts = _with_click(prompts, *next_click(logits, truth, generator))
        answer = _ask(decode, prompts, single, truth.valid)
        yield answer


def plan_rounds(preset: InteractivePreset, generator: torch.Generator) -> list[bool]:
    """Which rounds after the first add a click; the others are on the mask alone."""
    num_clicks = preset.num_clicks
    if preset.least_clicks < num_clicks:
        num_clicks = _draw(preset.least_clicks, num_clicks + 1, generator)
    plan = [True] * num_clicks
    for _ in range(preset.num_mask_only - 1):
        before_click = _draw(0, num_clicks, generator)
        position = [index for index, adds_click in enumerate(plan) if adds_click][before_click]
        plan.insert(position, False)
    return plan + [False] * min(preset.num_mask_only, 1)


def _draw(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number, `high` excluded."""
    return int(torch.randint(low, high, (), generator=generator, device=generator.device))


def first_prompts(truth: Truth, preset: InteractivePreset, generator: torch.Generator) -> tuple[Prompts, Tensor]:
    """A point drawn uniformly from the object or its centre, or a noisy box around it.

    Returns:
        The prompts, and which objects are to be answered by three masks: (B, N) bool.
    """
    draw = torch.rand(truth.valid.shape, generator=generator, device=generator.device).to(truth.valid.device)
    points, found = uniform_point(truth.masks, generator)
    is_point = (draw < preset.point_probability) & found & truth.valid
    is_box = ~is_point & found & truth.valid
    is_centre = is_point & (draw < preset.point_probability * preset.centre_probability)
    points[is_centre], _ = centre_point(truth.masks[is_centre])
    boxes = jittered_box(
        boxes_of_masks(truth.masks),
        preset.box_noise,
        image_size=truth.masks.shape[-1],
        generator=generator,
        limits_xyxy=boxes_of_masks(truth.inside),
    )
    prompts = Prompts(
        points=points[:, :, None],
        labels=torch.where(is_point, FOREGROUND, ABSENT)[..., None],
        boxes=boxes,
        has_box=is_box,
    )
    return prompts, is_point | (is_box & preset.box_is_ambiguous)


def next_click(logits: Tensor, truth: Truth, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One click drawn uniformly from each object's error region.

    Args:
        logits: (B, N, h, w) of the last round.
        truth: what was to be segmented.
        generator: the source of randomness.

    Returns:
        Points (B, N, 2), and labels (B, N): foreground where the object was missed, background where something else
        was taken for it or no error is left, absent for objects that are not valid.
    """
    size = truth.masks.shape[-2:]
    predicted = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False) > 0
    points, found = uniform_point((predicted ^ truth.masks) & truth.inside, generator)
    elsewhere, has_background = uniform_point(~truth.masks & truth.inside, generator)
    points = torch.where(found[..., None], points, elsewhere)
    x, y = points.long().unbind(-1)
    missed = truth.masks.flatten(2).gather(2, (y * size[1] + x)[..., None]).squeeze(2)  # (B, N)
    labels = torch.where(found & missed, FOREGROUND, BACKGROUND)
    return points, labels.masked_fill(~truth.valid | ~(found | has_background), ABSENT)


def chosen_logits(answer: Round) -> Tensor:
    """The most confident mask among the candidates: (B, N, h, w)."""
    confidence = answer.prediction.iou_predictions.masked_fill(~answer.candidates, float("-inf"))
    best = confidence.argmax(dim=-1)[..., None, None, None]  # (B, N, 1, 1, 1)
    return answer.prediction.low_res_logits.take_along_dim(best, dim=2).squeeze(2).detach()  # (B, N, h, w)


def _ask(decode: Decode, prompts: Prompts, ambiguous: Tensor, valid: Tensor) -> Round:
    """Three masks for ambiguous prompts, one for the others; all four are computed where a call has both.

    Padded objects count as neither.
    """
    if not (ambiguous & valid).any():
        prediction = decode(prompts, False)
        candidates = torch.ones_like(prediction.iou_predictions, dtype=torch.bool)
    elif (ambiguous | ~valid).all():
        prediction = decode(prompts, True)
        candidates = torch.ones_like(prediction.iou_predictions, dtype=torch.bool)
    else:
        prediction = decode(prompts, None)
        is_first = torch.arange(prediction.iou_predictions.shape[-1], device=ambiguous.device) == 0
        candidates = ambiguous[..., None] ^ is_first  # (B, N, M): token 0, or all but token 0
    return Round(prompts=prompts, prediction=prediction, candidates=candidates)


def _with_click(prompts: Prompts, points: Tensor, labels: Tensor) -> Prompts:
    """One more point for every object: (B, N, 2), (B, N)."""
    if prompts.points is None or prompts.labels is None:
        return replace(prompts, points=points[:, :, None], labels=labels[..., None])
    return replace(
        prompts,
        points=torch.cat([prompts.points, points[:, :, None]], dim=2),
        labels=torch.cat([prompts.labels, labels[..., None]], dim=2),
    )
