"""The clicks with which a simulated person answers a wrong mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.prompts.box_noise import REFERENCE_SIZE
from sam_ft.prompts.policies import Clicks, Feedback
from sam_ft.prompts.sampling import happens, uniform_point, whole_number
from sam_ft.prompts.truth import Truth
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, Prompts

_RING_PX = 3
"""How far outside the object's box a click on the background lies at the most, where nothing was wrongly taken."""


def next_prompts(
    prompts: Prompts, mask: Tensor | None, clicks: tuple[Tensor, Tensor] | None, *, truth: Truth, feedback: Feedback
) -> Prompts:
    """The prompts of the next round.

    Args:
        prompts: those of the last round.
        mask: (B, N, h, w), the logits of its answer; None: not fed back.
        clicks: more points (B, N, K, 2) and their labels (B, N, K); None: no more. One of the two is given.
        truth: the objects.
        feedback: whether the earlier prompts stay, and how the mask is fed back.
    """
    points, labels = (None, None) if clicks is None else clicks
    if feedback.keeps_prompts and prompts.points is not None and prompts.labels is not None:
        points = prompts.points if points is None else torch.cat([prompts.points, points], dim=2)
        labels = prompts.labels if labels is None else torch.cat([prompts.labels, labels], dim=2)
    if mask is not None and feedback.as_probabilities:
        mask = mask.sigmoid()
    return Prompts(
        points=points,
        labels=labels,
        boxes=prompts.boxes if feedback.keeps_prompts else None,
        has_box=prompts.has_box if feedback.keeps_prompts else None,
        masks=mask,
        has_mask=None if mask is None else truth.valid,
    )


def error_clicks(logits: Tensor, truth: Truth, policy: Clicks, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The clicks of one round.

    Args:
        logits: (B, N, h, w) of the last round.
        truth: what was to be segmented.
        policy: which clicks.
        generator: the source of randomness.

    Returns:
        Points (B, N, K, 2) and their labels (B, N, K): foreground where the object was missed, background where
        something else was taken for it; absent for objects that are not valid, and where there is nowhere to click.
    """
    size = truth.masks.shape[-2:]
    predicted = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False) > 0
    if policy.from_object_probability > 0 and happens(policy.from_object_probability, generator):
        predicted = torch.zeros_like(predicted)  # as if nothing had been found yet
    count = policy.counts[0]
    if len(policy.counts) > 1:
        count = policy.counts[whole_number(0, len(policy.counts), generator)]
    click = _pair_of_clicks if policy.in_pairs else _click
    drawn = [click(predicted, truth, generator) for _ in range(count)]
    points = torch.cat([points for points, _ in drawn], dim=2)
    labels = torch.cat([labels for _, labels in drawn], dim=2)
    return points, labels


def _click(predicted: Tensor, truth: Truth, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One click drawn uniformly from each object's error region, or from the background where there is no error."""
    size = truth.masks.shape[-1]
    points, found = uniform_point((predicted ^ truth.masks) & truth.inside, generator, valid=truth.valid)
    elsewhere, has_background = uniform_point(~truth.masks & truth.inside, generator, valid=truth.valid)
    points = torch.where(found[..., None], points, elsewhere)
    x, y = points.long().unbind(-1)
    missed = truth.masks.flatten(2).gather(2, (y * size + x)[..., None]).squeeze(2)  # (B, N)
    labels = torch.where(found & missed, FOREGROUND, BACKGROUND)
    labels = labels.masked_fill(~(found | has_background), ABSENT)
    return points[:, :, None], labels[..., None]


def _pair_of_clicks(predicted: Tensor, truth: Truth, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A click on what was missed and one on what was wrongly taken.

    Where nothing was missed, the first lies on what was found; where nothing was wrongly taken, the second lies close
    to the object, or else anywhere on the background (after micro-sam's prompt_generators.py).
    """
    background = ~truth.masks & truth.inside
    positive = (truth.masks & ~predicted, truth.masks)
    negative = (predicted & background, _around(truth.masks) & background, background)
    kinds = ((positive, FOREGROUND), (negative, BACKGROUND))
    drawn = [(*_first_found(regions, truth.valid, generator), label) for regions, label in kinds]
    points = torch.stack([points for points, _, _ in drawn], dim=2)  # (B, N, 2, 2)
    labels = torch.stack([torch.where(found, label, ABSENT) for _, found, label in drawn], dim=2)
    return points, labels


def _first_found(regions: tuple[Tensor, ...], valid: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A pixel of each object's first region that is not empty: points (B, N, 2), found (B, N)."""
    points, found = uniform_point(regions[0], generator, valid=valid)
    for region in regions[1:]:
        others, found_there = uniform_point(region, generator, valid=valid)
        points = torch.where(found[..., None], points, others)
        found = found | found_there
    return points, found


def _around(masks: Tensor) -> Tensor:
    """The box of each mask and a narrow frame around it: (B, N, S, S) bool."""
    size = masks.shape[-1]
    margin = max(1.0, _RING_PX * size / REFERENCE_SIZE)
    x0, y0, x1, y1 = (side[..., None] for side in boxes_of_masks(masks).unbind(-1))  # (B, N, 1)
    index = torch.arange(size, device=masks.device)
    columns = (index >= x0 - margin) & (index <= x1 + margin)  # (B, N, S)
    rows = (index >= y0 - margin) & (index <= y1 + margin)
    return rows[..., None] & columns[..., None, :]
