"""SAM: image encoder, prompt encoder and mask decoder behind `encode_image` and `decode`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam_ft.models.mask_decoder import MaskDecoder
from sam_ft.models.prompt_encoder import PromptEncoder
from sam_ft.models.sam.image_encoder import ImageEncoder
from sam_ft.types import ConfidentMasks, ImageEmbedding, MaskPrediction, Prompts


class Sam(nn.Module):
    """Segment Anything (Kirillov et al. 2023). Its state dict has the names of segment_anything's checkpoints.

    Attributes:
        image_size: side of the frame in pixels.
        mask_threshold: the logit above which a pixel belongs to a mask.
        image_format: the order of an image's channels.
    """

    mask_threshold = 0.0
    image_format = "RGB"

    def __init__(self, image_encoder: ImageEncoder, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.image_size = image_encoder.image_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.image_encoder.pos_embed.device

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        """(B, 3, S, S) normalised frames -> their embedding."""
        if not self.mask_decoder.uses_early_features:
            return ImageEmbedding(features=self.image_encoder(images))
        features, early = self.image_encoder.with_early_features(images)
        return ImageEmbedding(features=features, high_resolution=(early,))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of prompted masks that the model knows; none without a class head."""
        return () if self.mask_decoder.class_head is None else self.mask_decoder.class_head.names

    @property
    def pixel_class_names(self) -> tuple[str, ...]:
        """The classes of pixels without prompts, the background first; none without a semantic head."""
        return () if self.mask_decoder.semantic_head is None else self.mask_decoder.semantic_head.names

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        """Masks for N objects on each of B images; True: tokens 1 to 3, False: token 0, None: all four."""
        return self.mask_decoder(
            embedding.features,
            self.prompt_encoder.image_pe(),
            self.prompt_encoder(prompts),
            multimask_output=multimask_output,
            high_resolution=embedding.high_resolution,
        )

    def decode_confident(self, embedding: ImageEmbedding, prompts: Prompts, *, least_iou: float) -> ConfidentMasks:
        """Of three masks for each of N objects on one image those whose predicted IoU is above `least_iou`."""
        return self.mask_decoder.confident_masks(
            embedding.features,
            self.prompt_encoder.image_pe(),
            self.prompt_encoder(prompts),
            least_iou=least_iou,
            high_resolution=embedding.high_resolution,
        )

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        """A class for each pixel, without prompts: (B, K, 4 h, 4 w) logits, to be compared by softmax.

        Raises:
            ValueError: the model has no semantic head.
        """
        return self.mask_decoder.classify_pixels(
            embedding.features,
            self.prompt_encoder.image_pe(),
            self.prompt_encoder.without_prompts(len(embedding.features)),
        )
