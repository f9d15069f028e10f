"""SAM's mask decoder: prompt tokens and image embedding in, masks and their predicted IoU out.

Source: Kirillov et al. 2023 (SAM), section 3 and appendix A. Parameter names are segment_anything's.
"""

from __future__ import annotations

import sys
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_ft.models.class_head import ClassHead
from sam_ft.models.layers import HeadMLP, LayerNorm2d
from sam_ft.models.prompt_encoder import PromptEmbedding
from sam_ft.models.semantic_head import SemanticHead
from sam_ft.models.two_way_transformer import SharedFeatures, TwoWayTransformer
from sam_ft.types import ConfidentMasks, MaskPrediction

NUM_MASK_TOKENS = 4
"""Token 0 answers unambiguous prompts with one mask, tokens 1 to 3 answer an ambiguous one with three."""

_MASK_TOKENS = slice(1, 1 + NUM_MASK_TOKENS)
"""Where the mask tokens stand in the sequence, after the IoU token."""

_NUMBERS_AT_ONCE = 2**22
"""Of the objects' image features that are decoded together on a CPU: 16 MiB."""

_CHOSEN = {True: slice(1, None), False: slice(0, 1), None: slice(0, None)}
"""The mask tokens that answer, by `multimask_output`."""


def num_heads_for(width: int) -> int:
    """Heads of a decoder of some width: 8 at the published 256, and as wide ones in smaller decoders.

    A head compares positions in the few channels that it has (width / 2 is shared by all heads); with half as many a
    click is much harder to tell from its neighbours, and a small model learns from scratch at half the speed.
    """
    return max(1, width // 32)


class MaskDecoder(nn.Module):
    """Predicts masks for N objects on each of B images in one call."""

    uses_early_features = False
    """Whether `high_resolution` has to hold early features of the image encoder: see `sam_ft.models.sam.hq`."""

    def __init__(self, *, width: int, mlp_width: int, iou_head_width: int, depth: int = 2) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(
            depth=depth, width=width, num_heads=num_heads_for(width), mlp_width=mlp_width
        )
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(NUM_MASK_TOKENS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, kernel_size=2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            HeadMLP(width, width, width, width // 8) for _ in range(NUM_MASK_TOKENS)
        )
        self.iou_prediction_head = HeadMLP(width, iou_head_width, iou_head_width, NUM_MASK_TOKENS)
        # No parts of SAM; sam_ft.models.sam.heads adds them.
        self.class_head: ClassHead | None = None
        self.semantic_head: SemanticHead | None = None

    def forward(
        self,
        features: Tensor,
        image_pe: Tensor,
        prompts: PromptEmbedding,
        *,
        multimask_output: bool | None,
        high_resolution: tuple[Tensor, ...] = (),
    ) -> MaskPrediction:
        """Decode.

        Args:
            features: (B, C, h, w), the image embedding.
            image_pe: (C, h, w).
            prompts: of N objects on each image.
            multimask_output: True: the three masks of tokens 1 to 3; False: the one of token 0; None: all four.
            high_resolution: further features of the images, of which SAM itself has none.

        Returns:
            Masks of four times the embedding's resolution a side.
        """
        size = (features.shape[2], features.shape[3])
        shared = self._look_at(features, image_pe)
        portions = prompts.portions(objects_at_once(features))
        return MaskPrediction.joined([self._answer(shared, each, size, multimask_output) for each in portions])

    def confident_masks(
        self,
        features: Tensor,
        image_pe: Tensor,
        prompts: PromptEmbedding,
        *,
        least_iou: float,
        high_resolution: tuple[Tensor, ...] = (),
    ) -> ConfidentMasks:
        """Of the three masks of tokens 1 to 3 those with a predicted IoU above a threshold.

        The IoU comes from the tokens alone; the image features of objects without such a mask are not upscaled.

        Args:
            features: (1, C, h, w), the embedding of one image.
            image_pe: (C, h, w).
            prompts: of N objects on it.
            least_iou: what the predicted IoU has to exceed.
            high_resolution: as in `forward`.
        """
        size = (features.shape[2], features.shape[3])
        shared = self._look_at(features, image_pe)
        portions = prompts.portions(objects_at_once(features))
        return ConfidentMasks.joined([self._confident(shared, each, size, least_iou) for each in portions])

    def classify_pixels(self, features: Tensor, image_pe: Tensor, prompts: PromptEmbedding) -> Tensor:
        """A class for each pixel, by the semantic head's tokens instead of the mask tokens.

        Args:
            features: (B, C, h, w), the image embedding.
            image_pe: (C, h, w).
            prompts: of one object on each image, without any prompt (`PromptEncoder.without_prompts`).

        Returns:
            (B, K, 4 h, 4 w) logits, to be compared by softmax over the K classes.

        Raises:
            ValueError: there is no semantic head.
        """
        head = self.semantic_head
        if head is None:
            raise ValueError("Expected a model with a semantic head, but it has none: see `add_semantic_head`.")
        output_tokens = torch.cat([self.iou_token.weight, head.class_tokens.weight])  # (1 + K, C)
        tokens, image = self._attend(output_tokens, self._look_at(features, image_pe), prompts)
        kernels = head.kernels(tokens[:, :, 1:])  # (B, 1, C / 8, K)
        return in_place(self._upscaled(image) @ kernels, (features.shape[2], features.shape[3])).squeeze(1)

    def _look_at(self, features: Tensor, image_pe: Tensor) -> SharedFeatures:
        """What depends on the images alone: (B, C, h, w), (C, h, w)."""
        return self.transformer.look_at(features.flatten(2).mT.contiguous(), image_pe.flatten(1).T.contiguous())

    def _answer(
        self, shared: SharedFeatures, prompts: PromptEmbedding, size: tuple[int, int], multimask_output: bool | None
    ) -> MaskPrediction:
        """Masks for some objects on images of `size` (h, w) cells."""
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        num_outputs = 2 if multimask_output is False else None  # the IoU token and mask token 0; or all
        tokens, image = self._attend(output_tokens, shared, prompts, num_outputs=num_outputs)
        masks = self._masks(image, self._kernels(tokens, multimask_output), size)
        return self._prediction(masks, tokens, multimask_output)

    def _confident(
        self, shared: SharedFeatures, prompts: PromptEmbedding, size: tuple[int, int], least_iou: float
    ) -> ConfidentMasks:
        """Masks for some objects on one image of `size` (h, w) cells."""
        tokens, image = self._attend(torch.cat([self.iou_token.weight, self.mask_tokens.weight]), shared, prompts)
        ious = self.iou_prediction_head(tokens[0, :, 0])[:, _CHOSEN[True]]  # (N, M)
        is_confident = ious > least_iou
        objects, outputs = is_confident.nonzero(as_tuple=True)
        some = is_confident.any(dim=1)
        masks = self._masks(image[:, some], self._kernels(tokens[:, some], multimask_output=True), size)
        return ConfidentMasks(ious, objects, outputs, masks[0][is_confident[some]])

    def _masks(self, image: Tensor, kernels: Tensor, size: tuple[int, int]) -> Tensor:
        """Image features (B, N, h * w, C) and kernels (B, N, C / 8, M) -> logits (B, N, M, 4 h, 4 w)."""
        at_once = max(1, objects_at_once(image[:, :1]) // 2)  # upscaled features are twice as many numbers
        upscaled = zip(image.split(at_once, dim=1), kernels.split(at_once, dim=1), strict=True)
        return in_place(torch.cat([self._upscaled(some) @ own for some, own in upscaled], dim=1), size)

    def _attend(
        self,
        output_tokens: Tensor,
        shared: SharedFeatures,
        prompts: PromptEmbedding,
        *,
        num_outputs: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Output tokens (K, C) before each object's prompts go through the transformer with its image's features.

        Returns:
            The output tokens (B, N, K, C), or only the first `num_outputs`, and the image features (B, N, h * w, C).
        """
        batch, objects = prompts.sparse.shape[:2]
        tokens = torch.cat([output_tokens.expand(batch, objects, -1, -1), prompts.sparse], dim=2)  # (B, N, K + T, C)
        present = F.pad(prompts.present, (len(output_tokens), 0), value=True)  # (B, N, K + T)
        return self.transformer(tokens, present, shared, prompts.dense, num_outputs=num_outputs or len(output_tokens))

    def _kernels(self, tokens: Tensor, multimask_output: bool | None) -> Tensor:
        """The kernels of M chosen masks: tokens (B, N, .., C) -> (B, N, C / 8, M)."""
        chosen = _CHOSEN[multimask_output]
        mask_tokens = tokens[:, :, _MASK_TOKENS][:, :, chosen].unbind(dim=2)  # M times (B, N, C)
        mlps = self.output_hypernetworks_mlps[chosen]
        return torch.stack([mlp(token) for mlp, token in zip(mlps, mask_tokens, strict=True)], dim=-1)

    def _prediction(self, low_res_logits: Tensor, tokens: Tensor, multimask_output: bool | None) -> MaskPrediction:
        """M masks (B, N, M, 4 h, 4 w), with what the tokens (B, N, .., C) tell of each."""
        chosen = _CHOSEN[multimask_output]
        head = self.class_head
        return MaskPrediction(
            low_res_logits=low_res_logits,
            iou_predictions=self.iou_prediction_head(tokens[:, :, 0])[..., chosen],
            class_logits=None if head is None else head(tokens[:, :, _MASK_TOKENS][:, :, chosen]),
            class_names=() if head is None else head.names,
        )

    def _upscaled(self, image: Tensor) -> Tensor:
        """Features of four times the resolution a side: (B, N, h * w, C) -> (B, N, h * w * 16, C / 8).

        The transposed convolutions do not overlap, so each is a linear map of a cell's channels to those of its 2x2
        children; the children stay beside their cell until `in_place`, by which time each pixel may be M masks and no
        longer C / 8 channels.
        """
        first, norm, activation, second, last_activation = self.output_upscaling
        x = _children(cast(nn.ConvTranspose2d, first), image)  # (B, N, h * w, 4, C / 4)
        x = activation(cast(LayerNorm2d, norm).channels_last(x))
        return last_activation(_children(cast(nn.ConvTranspose2d, second), x)).flatten(2, 4)


def objects_at_once(features: Tensor) -> int:
    """How many objects to decode at a time that each have such features (B, ...) on B images.

    On a CPU without gradients as many as its caches hold: what is larger is fetched again from memory for each layer,
    and from the operating system for each result, which took three times as long (vit_b at 1024 px).
    """
    if features.device.type != "cpu" or torch.is_grad_enabled():
        return sys.maxsize
    return max(1, _NUMBERS_AT_ONCE // max(1, features.numel()))


def in_place(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The children's children of h x w cells put where they lie: (B, N, h * w * 16, M) -> (B, N, M, 4 h, 4 w)."""
    height, width = size
    x = x.unflatten(2, (height, width, 2, 2, 2, 2))  # (B, N, h, w, y, x, yy, xx, M)
    x = x.permute(0, 1, 8, 2, 4, 6, 3, 5, 7)  # (B, N, M, h, y, yy, w, x, xx)
    return x.reshape(*x.shape[:3], 4 * height, 4 * width)


def _children(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """A transposed convolution of kernel and stride 2 as a linear map: (..., C) -> (..., 4, C')."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * C', C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return F.linear(x, weight, bias).unflatten(-1, (4, -1))  # (..., 4, C')
