"""HQ-SAM's mask decoder: SAM's own, one more output token, and features with the detail that SAM's lose.

Source: Ke et al. 2023 (HQ-SAM), section 3 and figure 2; SysCV/sam-hq, segment_anything/modeling/mask_decoder_hq.py.
Parameter names are those of its checkpoints. The mask of the high-quality token is added to SAM's (there
`hq_token_only=False`): by ours to each of the three masks of an ambiguous prompt, by theirs to the most confident one,
which is `MaskPrediction.most_confident` of ours.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sam_ft.models.layers import HeadMLP, LayerNorm2d
from sam_ft.models.mask_decoder import MaskDecoder, in_place, objects_at_once
from sam_ft.models.prompt_encoder import PromptEmbedding
from sam_ft.models.sam.model import Sam
from sam_ft.models.two_way_transformer import SharedFeatures
from sam_ft.types import ConfidentMasks, MaskPrediction

HUGGING_FACE_NAMES = (
    ("mask_decoder.hf_token", "mask_decoder.hq_token"),
    ("mask_decoder.hf_mlp.layers.0", "mask_decoder.hq_mask_mlp.proj_in"),
    ("mask_decoder.hf_mlp.layers.1", "mask_decoder.hq_mask_mlp.layers.0"),
    ("mask_decoder.hf_mlp.layers.2", "mask_decoder.hq_mask_mlp.proj_out"),
    ("mask_decoder.compress_vit_feat.0", "mask_decoder.compress_vit_conv1"),
    ("mask_decoder.compress_vit_feat.1", "mask_decoder.compress_vit_norm"),
    ("mask_decoder.compress_vit_feat.3", "mask_decoder.compress_vit_conv2"),
    ("mask_decoder.embedding_encoder.0", "mask_decoder.encoder_conv1"),
    ("mask_decoder.embedding_encoder.1", "mask_decoder.encoder_norm"),
    ("mask_decoder.embedding_encoder.3", "mask_decoder.encoder_conv2"),
    ("mask_decoder.embedding_maskfeature.0", "mask_decoder.mask_conv1"),
    ("mask_decoder.embedding_maskfeature.1", "mask_decoder.mask_norm"),
    ("mask_decoder.embedding_maskfeature.3", "mask_decoder.mask_conv2"),
)
"""Beginnings of the names that HQ-SAM adds, and those of `transformers.SamHQModel`."""

_PARTS = ("hf_token", "hf_mlp", "compress_vit_feat", "embedding_encoder", "embedding_maskfeature")


class HqMaskDecoder(MaskDecoder):
    """Predicts masks for N objects on each of B images in one call; takes over the layers of a SAM's decoder.

    Before the first step of training the token and its mask are zero. The masks then are almost SAM's own: the token
    takes part in the attention from the start, and even a zero takes a share of it.
    """

    uses_early_features = True

    def __init__(self, decoder: MaskDecoder, *, encoder_width: int) -> None:
        nn.Module.__init__(self)  # not MaskDecoder's: these layers are there already
        for name, layer in decoder.named_children():
            self.add_module(name, layer)
        self.class_head, self.semantic_head = decoder.class_head, decoder.semantic_head
        width = decoder.iou_token.embedding_dim
        self.hf_token = nn.Embedding(1, width)
        self.hf_mlp = HeadMLP(width, width, width, width // 8)
        self.compress_vit_feat = _fourfold(encoder_width, width, width // 8)
        self.embedding_encoder = _fourfold(width, width // 4, width // 8)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(width // 8, width // 4, kernel_size=3, padding=1),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 8, kernel_size=3, padding=1),
        )
        last = cast(nn.Linear, self.hf_mlp.layers[-1])
        for weight in (self.hf_token.weight, last.weight, last.bias):
            nn.init.zeros_(weight)

    def forward(
        self,
        features: Tensor,
        image_pe: Tensor,
        prompts: PromptEmbedding,
        *,
        multimask_output: bool | None,
        high_resolution: tuple[Tensor, ...] = (),
    ) -> MaskPrediction:
        """Decode; `high_resolution` are the encoder's early features alone, (B, C of the encoder, h, w).

        The rest is as in `MaskDecoder.forward`.

        Raises:
            ValueError: there are no early features, or more than that.
        """
        if len(high_resolution) != 1:
            raise ValueError(
                "Expected the early features of the image encoder in `high_resolution`, "
                f"but got {len(high_resolution)} tensors: encode the image with the model that decodes it."
            )
        size = (features.shape[2], features.shape[3])
        shared = self._look_at(features, image_pe)
        detail = self.embedding_encoder(features) + self.compress_vit_feat(high_resolution[0])  # (B, C / 8, 4 h, 4 w)
        portions = prompts.portions(objects_at_once(features))
        return MaskPrediction.joined(
            [self._detailed_answer(shared, each, detail, size, multimask_output) for each in portions]
        )

    def confident_masks(
        self,
        features: Tensor,
        image_pe: Tensor,
        prompts: PromptEmbedding,
        *,
        least_iou: float,
        high_resolution: tuple[Tensor, ...] = (),
    ) -> ConfidentMasks:
        """As in `MaskDecoder`; what is not trusted is dropped after it was decoded."""
        answer = self(features, image_pe, prompts, multimask_output=True, high_resolution=high_resolution)
        ious = answer.iou_predictions[0]  # (N, M)
        objects, outputs = (ious > least_iou).nonzero(as_tuple=True)
        return ConfidentMasks(ious, objects, outputs, answer.low_res_logits[0, objects, outputs])

    def _detailed_answer(
        self,
        shared: SharedFeatures,
        prompts: PromptEmbedding,
        detail: Tensor,
        size: tuple[int, int],
        multimask_output: bool | None,
    ) -> MaskPrediction:
        """As `MaskDecoder._answer`, with features (B, C / 8, 4 h, 4 w) of the images' detail."""
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight])  # (6, C)
        tokens, image = self._attend(output_tokens, shared, prompts)
        kernels = self._kernels(tokens, multimask_output)
        upscaled = self._upscaled(image)  # (B, N, h * w * 16, C / 8)
        own = self.embedding_maskfeature(in_place(upscaled, size).flatten(0, 1))  # (B * N, C / 8, 4 h, 4 w)
        own = own.unflatten(0, tokens.shape[:2]) + detail[:, None]  # (B, N, C / 8, 4 h, 4 w)
        kernel = self.hf_mlp(tokens[:, :, -1])  # (B, N, C / 8)
        high_quality = torch.einsum("bnchw,bnc->bnhw", own, kernel)[:, :, None]  # (B, N, 1, 4 h, 4 w)
        return self._prediction(in_place(upscaled @ kernels, size) + high_quality, tokens, multimask_output)


def add_high_quality(model: Sam) -> None:
    """Give a model HQ-SAM's mask decoder, in place; a model that has it keeps it as it is.

    Raises:
        ValueError: no block of the image encoder has global attention, of which HQ-SAM takes the first one's output.
    """
    if isinstance(model.mask_decoder, HqMaskDecoder):
        return
    model.image_encoder.first_global_block()  # refuses an encoder without one
    weight = model.image_encoder.pos_embed
    with torch.device(weight.device):
        decoder = HqMaskDecoder(model.mask_decoder, encoder_width=weight.shape[-1]).to(weight.dtype)
    model.mask_decoder = decoder.train(model.mask_decoder.training)


def is_high_quality(name: str) -> bool:
    """Whether a weight, by its name in a SAM, is one of those that HQ-SAM adds."""
    part, _, rest = name.partition(".")
    return part == "mask_decoder" and rest.partition(".")[0] in _PARTS


def _fourfold(width: int, hidden_width: int, out_width: int) -> nn.Sequential:
    """(B, width, h, w) -> (B, out_width, 4 h, 4 w)."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, hidden_width, kernel_size=2, stride=2),
        LayerNorm2d(hidden_width),
        nn.GELU(),
        nn.ConvTranspose2d(hidden_width, out_width, kernel_size=2, stride=2),
    )
