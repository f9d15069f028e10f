"""Masks of everything by our generator, for `everything_mode`, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from everything_mode_settings import SETTINGS
from stopwatch import Stopwatch

from sam_ft import SamAutomaticMaskGenerator, sam_model_registry
from sam_ft.inference import mask_filters, mask_generator, source_masks
from sam_ft.models.mask_decoder import MaskDecoder
from sam_ft.models.sam.image_encoder import ImageEncoder
from sam_ft.transforms import Frame


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    generator = SamAutomaticMaskGenerator(sam_model_registry["vit_b"](checkpoint=folder / "sam.pth"), **SETTINGS)
    image = np.load(folder / "image.npy")
    watch = Stopwatch()
    watch.watch("encode", ImageEncoder, "forward")
    watch.watch("decode", MaskDecoder, "confident_masks")
    watch.watch("upscale", MaskDecoder, "_masks")
    watch.watch("upsample", Frame, "logits_to_source")
    watch.watch("stability", source_masks, "stability_score")
    watch.watch("run lengths", source_masks, "encode")
    watch.watch("NMS", mask_filters, "box_nms")
    watch.watch("records", mask_generator, "records_of")

    def generate() -> dict[str, np.ndarray]:
        watch.clear()
        records = generator.generate(image)
        removed = generator.removed
        trusted = removed.proposals - removed.pred_iou
        return {
            "masks": np.packbits(np.stack([each["segmentation"].ravel() for each in records]), axis=1),
            "scores": np.array([[each["predicted_iou"], each["stability_score"]] for each in records]),
            "proposals": removed.proposals,
            "trusted": trusted,
            "stable": trusted - removed.stability_score,
            "kept": len(records),
            **watch.as_arrays(),
        }

    return generate
