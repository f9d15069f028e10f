"""What of an imagined training step comes behind the image encoder: rounds of prompts, or the classes of all pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.any_checkpoints import AnyModel
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.semantic_fitting import SemanticRecipe
from sam_ft.losses.semantic import class_shares
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import InteractivePreset, PromptPreset
from sam_ft.prompts.sampling import low_resolution
from sam_ft.types import FOREGROUND, ImageEmbedding, Prompts


def imagined_rounds(recipe: Recipe, model: Sam, embedding: ImageEmbedding, *, truth: Tensor) -> Tensor:
    """The mean loss of all rounds.

    Args:
        recipe: says which rounds.
        model: decodes.
        embedding: of B images.
        truth: (B, N, S, S) bool.
    """
    preset, size = _longest(recipe.prompts), 4 * embedding.features.shape[-1]
    decode = recipe.memory.decoder(model.decode, embedding)
    targets = low_resolution(truth, size)
    classes = truth.new_zeros(truth.shape[:2], dtype=torch.int64) if model.class_names else None
    generator = torch.Generator(device=truth.device)
    losses = []
    logits = torch.zeros_like(targets, dtype=torch.float32) if preset.first.mask_probability else None
    for number in range(preset.num_rounds):
        prompts = _prompts(preset, number, truth=truth, logits=logits)
        prediction = decode(prompts, _multimask_output(preset, number))
        candidates = torch.ones_like(prediction.iou_predictions, dtype=torch.bool)
        parts = recipe.loss(prediction, targets, candidates, classes=classes, generator=generator)
        losses.append(parts.total.mean())
        logits = prediction.low_res_logits[:, :, 0].detach().clone()  # (B, N, h, w)
    return torch.stack(losses).mean()


def imagined_pixels(recipe: SemanticRecipe, model: AnyModel, embedding: ImageEmbedding) -> Tensor:
    """The loss of the classes of all pixels."""
    labels = torch.zeros(
        len(embedding.features), model.image_size, model.image_size, dtype=torch.int64, device=embedding.features.device
    )
    logits = model.classify_pixels(embedding)  # (B, K, h, w)
    shares = class_shares(labels, num_classes=logits.shape[1], size=logits.shape[-1])
    return recipe.loss(logits, shares).total


def _longest(preset: PromptPreset) -> InteractivePreset:
    """The preset itself; of a mixture the one with the most rounds."""
    if isinstance(preset, InteractivePreset):
        return preset
    drawn = [each for name, each in preset.presets.items() if preset.weights[name] > 0]
    return max(drawn, key=lambda each: each.num_rounds)


def _prompts(preset: InteractivePreset, number: int, *, truth: Tensor, logits: Tensor | None) -> Prompts:
    """The most prompts that a round may have: all clicks come as early as they can."""
    batch, objects, device = truth.shape[0], truth.shape[1], truth.device
    new = max(preset.clicks.counts) * (2 if preset.clicks.in_pairs else 1)
    num_clicks = min(number, preset.rounds.num_clicks)
    keeps = preset.feedback.keeps_prompts or number == 0
    num_points = preset.first.num_points + num_clicks * new if keeps else new
    with torch.no_grad():
        if logits is not None and number:  # the look at the errors, at the size of the frame
            F.interpolate(logits.float(), size=truth.shape[-2:], mode="bilinear", align_corners=False) > 0  # noqa: B015
    return Prompts(
        points=torch.empty(batch, objects, num_points, 2, device=device),
        labels=torch.full((batch, objects, num_points), FOREGROUND, device=device),
        boxes=torch.empty(batch, objects, 4, device=device) if keeps else None,
        has_box=torch.ones(batch, objects, dtype=torch.bool, device=device) if keeps else None,
        masks=logits,
        has_mask=None if logits is None else torch.ones(batch, objects, dtype=torch.bool, device=device),
    )


def _multimask_output(preset: InteractivePreset, number: int) -> bool | None:
    """How many masks a round asks for, at the most; see `sam_ft.prompts.simulation`."""
    if number > 0:
        return "clicks" in preset.ambiguous
    is_ambiguous = [kind in preset.ambiguous for kind in ("point", "box", "mask")]
    return True if all(is_ambiguous[:2]) else None if any(is_ambiguous) else False
