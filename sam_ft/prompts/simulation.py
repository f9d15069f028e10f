"""Rounds of simulated prompts: a first one, then clicks where the model is wrong.

Source: Kirillov et al. 2023 (SAM), appendix A, "Training algorithm". What it leaves open:

- A lone box counts as one prompt, and is answered by three masks, if the preset says so.
- Where the prediction is already right, the click is a random one on the background, as in SAM 2's code.
- In rounds on the mask alone, the earlier prompts stay, if the preset keeps them at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.prompts.corrections import error_clicks, next_prompts
from sam_ft.prompts.first_prompts import first_prompts
from sam_ft.prompts.policies import Rounds
from sam_ft.prompts.presets import PromptPreset
from sam_ft.prompts.sampling import happens, whole_number
from sam_ft.prompts.truth import Truth
from sam_ft.types import MaskPrediction, Prompts

Decode = Callable[[Prompts, bool | None], MaskPrediction]
"""(prompts, multimask_output) -> prediction, with the image embedding already in place."""


@dataclass(frozen=True)
class Round:
    """What was asked, what the model answered, and which of its masks are the answer."""

    prompts: Prompts
    prediction: MaskPrediction
    candidates: Tensor  # (B, N, M) bool


def simulate_rounds(
    decode: Decode, truth: Truth, preset: PromptPreset, *, generator: torch.Generator
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
    preset = preset.draw(generator)
    prompts, kinds = first_prompts(truth, preset.first, generator)
    ambiguous = torch.stack([having & (kind in preset.ambiguous) for kind, having in kinds.items()]).any(dim=0)
    answer = _ask(decode, prompts, ambiguous, truth.valid)
    yield answer
    ambiguous = torch.full_like(ambiguous, "clicks" in preset.ambiguous)
    for adds_clicks in plan_rounds(preset.rounds, generator):
        with torch.no_grad():
            logits = chosen_logits(answer)
            feeds_mask = not adds_clicks or happens(preset.feedback.mask_probability, generator)
            mask = logits if feeds_mask else None
            clicks = error_clicks(logits, truth, preset.clicks, generator) if adds_clicks else None
            prompts = next_prompts(prompts, mask, clicks, truth=truth, feedback=preset.feedback)
        answer = _ask(decode, prompts, ambiguous, truth.valid)
        yield answer


def plan_rounds(rounds: Rounds, generator: torch.Generator) -> list[bool]:
    """Which rounds after the first add clicks; the others are on the mask alone."""
    num_clicks = rounds.num_clicks
    if rounds.least_clicks < num_clicks:
        num_clicks = whole_number(rounds.least_clicks, num_clicks + 1, generator)
    plan = [True] * num_clicks
    for _ in range(rounds.num_mask_only - 1):
        chosen = whole_number(0, num_clicks, generator)
        click = [index for index, adds_clicks in enumerate(plan) if adds_clicks][chosen]
        plan.insert(click + rounds.mask_only_after_click, False)
    return plan + [False] * min(rounds.num_mask_only, 1)


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
