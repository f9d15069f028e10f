"""Clicks and boxes that are drawn into the mask prompt too, for small models that learn from random weights.

A token gives a position as one point of a random Fourier embedding, and a model needs very many steps until it reads it
to the pixel. A picture of the prompt, at the resolution of the masks, shows it at once. Published weights of SAM have
not learnt with such pictures, and answer as always without them.

Source: the idea of click maps is that of interactive segmentation before SAM (Sofiiuk et al. 2021, RITM, section 3.2:
discs instead of distance maps); the picture of a box, and that both share SAM's mask prompt, is ours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from sam_ft.models.prompt_encoder import DensePrompt, PromptEncoder, given
from sam_ft.models.sam.model import Sam
from sam_ft.types import BACKGROUND, FOREGROUND, Prompts

_LOGITS = "prompt_encoder.drawn_logits"
"""The name by which weights are recognised."""

_OUTSIDE, _INSIDE, _BACKGROUND, _FOREGROUND = range(4)


class DrawnPromptEncoder(PromptEncoder):
    """Embeds prompts as `PromptEncoder` does, and takes over its layers; what an object has no mask for is drawn.

    A box gives the pixels inside one logit and those outside another, in between by the share of the pixel that it
    covers. Clicks come over it, or over the mask of the round before: spots of one pixel of the mask (standard
    deviation). Where there is neither mask nor box, the rest is 0: unknown.
    """

    drawn_logits: Tensor

    def __init__(self, encoder: PromptEncoder) -> None:
        nn.Module.__init__(self)  # not PromptEncoder's: these layers are there already
        for name, layer in encoder.named_children():
            self.add_module(name, layer)
        self.image_size, self.embedding_size = encoder.image_size, encoder.embedding_size
        self.register_buffer("drawn_logits", torch.tensor([-5.0, 5.0, -10.0, 10.0]))  # as `_OUTSIDE` and so on

    def _embed_masks(self, prompts: Prompts) -> DensePrompt:
        return super()._embed_masks(self.drawn(prompts))

    @torch.no_grad()
    def drawn(self, prompts: Prompts) -> Prompts:
        """The prompts with a mask for each object that has any: (B, N, h, w) logits, 4 times the embedding's size."""
        masks, has_mask = self._canvas(prompts)
        if prompts.boxes is not None:
            has_box = given(prompts.boxes, prompts.has_box)
            is_drawn = has_box & ~has_mask
            masks = torch.where(is_drawn[..., None, None], self._box_picture(prompts.boxes), masks)
            has_mask = has_mask | has_box
        if prompts.points is not None and prompts.labels is not None:
            for points, labels in zip(prompts.points.unbind(dim=2), prompts.labels.unbind(dim=2), strict=True):
                masks = self._with_clicks(masks, points, labels)
                has_mask = has_mask | _is_click(labels)
        return replace(prompts, masks=masks, has_mask=has_mask)

    def _canvas(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """The masks of those objects that have one, else 0, and which have: (B, N, h, w), (B, N) bool."""
        if prompts.masks is not None:
            has_mask = given(prompts.masks, prompts.has_mask)
            return prompts.masks.to(self.drawn_logits).masked_fill(~has_mask[..., None, None], 0.0), has_mask
        shape = next(p.shape[:2] for p in (prompts.points, prompts.boxes) if p is not None)
        size = 4 * self.embedding_size
        canvas = self.drawn_logits.new_zeros(*shape, size, size)
        return canvas, torch.zeros(shape, dtype=torch.bool, device=canvas.device)

    def _box_picture(self, boxes: Tensor) -> Tensor:
        """(B, N, 4) -> (B, N, h, w) logits."""
        low, high = boxes.to(self.drawn_logits).unflatten(-1, (2, 2)).unbind(dim=-2)  # (B, N, 2) each
        cells, half = self._cell_centres(), self._cell_side / 2
        begin = torch.maximum(cells - half, low[..., None])  # (B, N, 2, w)
        end = torch.minimum(cells + half, high[..., None] + 1)  # the last pixel belongs to the box
        covered = (end - begin).clamp(min=0) / self._cell_side
        inside = covered[..., 1, :, None] * covered[..., 0, None, :]
        return torch.lerp(self.drawn_logits[_OUTSIDE], self.drawn_logits[_INSIDE], inside)

    def _with_clicks(self, masks: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """One click of each object, (B, N, 2) and (B, N), over its mask (B, N, h, w)."""
        distances = (
            self._cell_centres() - (points.to(self.drawn_logits) + 0.5)[..., None]
        ) / self._cell_side  # (B, N, 2, w)
        spots = torch.exp(-(distances**2) / 2)
        spot = spots[..., 1, :, None] * spots[..., 0, None, :] * _is_click(labels)[..., None, None]
        is_object = (labels == FOREGROUND)[..., None, None]
        logit = torch.where(is_object, self.drawn_logits[_FOREGROUND], self.drawn_logits[_BACKGROUND])
        return torch.lerp(masks, logit, spot)

    @property
    def _cell_side(self) -> float:
        """Of a mask's pixel, in pixels of the frame."""
        return self.image_size / (4 * self.embedding_size)

    def _cell_centres(self) -> Tensor:
        """Of a mask's pixels in pixels of the frame, whose first one reaches from 0 to 1: (w,)."""
        indices = torch.arange(4 * self.embedding_size).to(self.drawn_logits)
        return (indices + 0.5) * self._cell_side


def draw_prompts(model: Sam) -> None:
    """Have a model's clicks and boxes drawn into its mask prompts, in place; one that has it keeps it as it is."""
    if isinstance(model.prompt_encoder, DrawnPromptEncoder):
        return
    encoder = DrawnPromptEncoder(model.prompt_encoder).to(model.image_encoder.pos_embed.device)
    model.prompt_encoder = encoder.train(model.prompt_encoder.training)


def has_drawn_prompts(names: Collection[str]) -> bool:
    """Whether these are names of weights of a model whose prompts are drawn."""
    return _LOGITS in names


def _is_click(labels: Tensor) -> Tensor:
    """Which points are there and have a position: labels (...) -> (...) bool."""
    return (labels == FOREGROUND) | (labels == BACKGROUND)
