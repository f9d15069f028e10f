"""The prompt that a simulated person begins with."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.masks.distance import centre_point
from sam_ft.prompts.box_noise import jittered_box
from sam_ft.prompts.policies import FirstPrompt
from sam_ft.prompts.sampling import draw_for, spoilt_mask, uniform_point
from sam_ft.prompts.truth import Truth
from sam_ft.types import ABSENT, FOREGROUND, Prompts


def first_prompts(truth: Truth, policy: FirstPrompt, generator: torch.Generator) -> tuple[Prompts, dict[str, Tensor]]:
    """Points drawn uniformly from the object or its centre, a spoilt mask of it, or a noisy box around it.

    Args:
        truth: the objects; those that are not valid or empty get no prompt.
        policy: how often which.
        generator: the source of randomness.

    Returns:
        The prompts, and which objects have which: "point", "box" and "mask", each (B, N) bool.
    """
    alone = truth.valid.new_ones(1, 1)
    draw = draw_for(alone if policy.same_for_all else truth.valid, generator=generator)
    drawn = [uniform_point(truth.masks, generator, valid=truth.valid) for _ in range(policy.num_points)]
    points, asked = torch.stack([points for points, _ in drawn], dim=2), drawn[0][1]  # (B, N, K, 2), (B, N)
    is_point = (draw < policy.point_probability) & asked
    is_mask = (draw < policy.point_probability + policy.mask_probability) & asked & ~is_point
    is_box = asked & ~is_point & ~is_mask
    is_centre = is_point & (draw_for(truth.valid, generator=generator) < policy.centre_probability)
    points[is_centre, 0], _ = centre_point(truth.masks[is_centre])
    boxes = boxes_of_masks(truth.masks)
    boxes[truth.valid] = jittered_box(
        boxes[truth.valid],
        policy.box_noise,
        image_size=truth.masks.shape[-1],
        generator=generator,
        limits_xyxy=boxes_of_masks(truth.inside).expand_as(boxes)[truth.valid],
    )
    masks = None
    if policy.mask_probability > 0:
        size = truth.masks.shape[-1] // 4  # of SAM's mask prompts
        masks = spoilt_mask(truth.masks, size, valid=truth.valid, generator=generator)
    prompts = Prompts(
        points=points,
        labels=torch.where(is_point, FOREGROUND, ABSENT)[..., None].expand(points.shape[:3]),
        boxes=boxes,
        has_box=is_box,
        masks=masks,
        has_mask=None if masks is None else is_mask,
    )
    return prompts, {"point": is_point, "box": is_box, "mask": is_mask}
