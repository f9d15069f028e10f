"""Masks for given points, boxes and masks, under the names of segment_anything's predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam_ft.inference.execution import Execution
from sam_ft.inference.pictures_in import as_rgb
from sam_ft.inference.ragged_prompts import ObjectPrompt, padded
from sam_ft.inference.resize_longest_side import ResizeLongestSide
from sam_ft.inference.saved_embedding import SavedEmbedding
from sam_ft.inference.upsampling import masks_at_source
from sam_ft.models.fingerprint import weights_fingerprint
from sam_ft.models.sam.model import Sam
from sam_ft.transforms import Frame
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts

_IMAGES_AT_ONCE = 4


class SamPredictor:
    """Encodes an image once, then answers prompts for it.

    A script for `segment_anything.SamPredictor` runs with it: the same methods, shapes, types and results. Besides,
    images may be grey, of 16 bits or with an alpha channel, several images can be encoded and asked about at once, and
    embeddings can be saved.

    Args:
        sam_model: any SAM, in evaluation mode.
        execution: how the model is run, such as `Execution(bf16=True)`; None: in the precision of its weights.

    Attributes:
        model: the SAM.
        transform: brings points and boxes to the model's frame, for `predict_torch`.

    Source: segment_anything, `predictor.py`.
    """

    def __init__(self, sam_model: Sam, *, execution: Execution | None = None) -> None:
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_size)
        self._running = (execution or Execution()).of(sam_model)
        self._embedding: ImageEmbedding | None = None
        self._sizes: tuple[tuple[int, int], ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def is_image_set(self) -> bool:
        """Whether there is an image to ask about."""
        return self._embedding is not None

    @property
    def features(self) -> Tensor | None:
        """(B, C, h, w) the embedding of the images; None where there are none."""
        return None if self._embedding is None else self._embedding.features

    @property
    def original_size(self) -> tuple[int, int] | None:
        """(height, width) of the first image; None where there is none."""
        return self._sizes[0] if self._sizes else None

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the first image in the frame, without padding; None where there is none."""
        return self._frame(0).input_size if self._sizes else None

    # Images

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Encode an image; prompts are about it from now on.

        Args:
            image: (H, W, 3) uint8. Also (H, W) or (H, W, 1), grey; (H, W, 4), whose alpha channel is left out; 16 bits
                or floating point, shown from their 0.5 to their 99.5 percentile.
            image_format: "RGB" or "BGR", the order of the channels.

        Raises:
            ValueError: another format, shape or type.
        """
        self.set_images([image], image_format)

    @torch.no_grad()
    def set_images(self, images: Sequence[np.ndarray], image_format: str = "RGB") -> None:
        """Encode several images, of any sizes, for `predict_batch`.

        Args:
            images: as for `set_image`, one at least.
            image_format: "RGB" or "BGR".

        Raises:
            ValueError: as `set_image`, or no images.
        """
        if not len(images):
            raise ValueError("Expected at least one image, but got none.")
        pictures = [as_rgb(image, image_format) for image in images]
        self.reset_image()
        sizes = tuple((picture.shape[0], picture.shape[1]) for picture in pictures)
        parts = []
        for first in range(0, len(pictures), _IMAGES_AT_ONCE):
            some = zip(pictures[first : first + _IMAGES_AT_ONCE], sizes[first : first + _IMAGES_AT_ONCE], strict=True)
            frames = [Frame(size, self.model.image_size).image_to_frame(torch.from_numpy(each)) for each, size in some]
            parts.append(self._running.encode_image(torch.stack(frames)))
        self._embedding, self._sizes = ImageEmbedding.joined(parts), sizes

    @torch.no_grad()
    def set_torch_image(self, transformed_image: Tensor, original_image_size: tuple[int, ...]) -> None:
        """Encode an image that `transform` has resized.

        Args:
            transformed_image: (1, 3, h, w) RGB from 0 to 255, its longer side as long as the frame's.
            original_image_size: (height, width) before.

        Raises:
            ValueError: another shape.
        """
        height, width = original_image_size
        frame = Frame((height, width), self.model.image_size)
        if transformed_image.shape != (1, 3, *frame.input_size):
            raise ValueError(
                f"Expected `transformed_image` {(1, 3, *frame.input_size)} of an image {(height, width)}, but got "
                f"{tuple(transformed_image.shape)}."
            )
        self.reset_image()
        self._embedding = self._running.encode_image(frame.normalised(transformed_image))
        self._sizes = (frame.source_size,)

    def get_image_embedding(self) -> Tensor:
        """(B, C, h, w) the embedding of the images.

        Raises:
            RuntimeError: there are none.
        """
        return self._expect_images().features

    def reset_image(self) -> None:
        """Forget the images."""
        self._embedding, self._sizes = None, ()

    def save_embedding(self, path: str | Path) -> None:
        """Write the embedding of the images to a file (safetensors), which `load_embedding` reads.

        Raises:
            RuntimeError: there are no images.
            ValueError: `path` cannot be written to.
        """
        SavedEmbedding(self._expect_images(), self._sizes, weights_fingerprint(self.model)).write(path)

    def load_embedding(self, path: str | Path) -> None:
        """Ask about the images of a saved embedding from now on, without encoding them again.

        Raises:
            ValueError: another kind of file, or the embedding of a model with other weights.
        """
        saved = SavedEmbedding.read(path)
        if saved.weights != (own := weights_fingerprint(self.model)):
            raise ValueError(f"Expected the embedding of a model {own} in {path}, but it is of {saved.weights}.")
        self._embedding, self._sizes = saved.embedding.to(self.device), saved.source_sizes

    # Prompts

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks of one object in the image. Coordinates are pixels of the image, (x, y).

        Args:
            point_coords: (K, 2) points.
            point_labels: (K,) 1 for a point on the object, 0 for one on the background.
            box: (4,) or (1, 4), x0, y0, x1, y1.
            mask_input: (1, h, w) logits of an earlier answer.
            multimask_output: three masks, which suits one point, or one mask.
            return_logits: logits (float32) instead of masks.

        Returns:
            Masks (C, H, W) bool at the image's resolution, C = 3 or 1; the IoU (C,) that the model thinks each has;
            their logits (C, h, w), for `mask_input`.

        Raises:
            RuntimeError: no image is set.
            ValueError: no prompt, points without labels, or other shapes.
        """
        prompt = ObjectPrompt(
            points=point_coords,
            labels=point_labels,
            box=None if box is None else np.reshape(box, -1),
            mask=None if mask_input is None else np.asarray(mask_input)[0],
        )
        [answer] = self._ask([[prompt]], multimask_output=multimask_output, return_logits=return_logits)
        masks, scores, logits = answer
        return masks[0], scores[0], logits[0]

    def predict_batch(
        self,
        prompts: Sequence[Sequence[ObjectPrompt]],
        *,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Masks of many objects in all images that are set, in one call of the decoder.

        Args:
            prompts: the objects of each image; each has its own number of points, or a box, or a mask.
            multimask_output: as in `predict`.
            return_logits: as in `predict`.

        Returns:
            Of each image what `predict` gives, for its N objects: masks (N, C, H, W), IoUs (N, C), logits (N, C, h, w).

        Raises:
            RuntimeError: no image is set.
            ValueError: prompts for another number of images, or as `predict`.
        """
        return self._ask(prompts, multimask_output=multimask_output, return_logits=return_logits)

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of N objects in the image, which all have the same kinds of prompts. Coordinates are of the frame.

        Args:
            point_coords: (N, K, 2), as `transform.apply_coords_torch` gives them.
            point_labels: (N, K).
            boxes: (N, 4), as `transform.apply_boxes_torch` gives them.
            mask_input: (N, 1, h, w).
            multimask_output: as in `predict`.
            return_logits: as in `predict`.

        Returns:
            Masks (N, C, H, W), IoUs (N, C), logits (N, C, h, w), on the model's device.

        Raises:
            RuntimeError: no image is set.
            ValueError: no prompt, points without labels, or other shapes.
        """
        self._expect_images()
        given = {"points": point_coords, "labels": point_labels, "boxes": boxes}
        prompts = Prompts(
            **{kind: None if tensor is None else tensor[None] for kind, tensor in given.items()},
            masks=None if mask_input is None else mask_input[None, :, 0],
        )
        answer = self._decode(prompts, multimask_output=multimask_output)
        return self._at_source(answer, 0, return_logits=return_logits)

    @torch.no_grad()
    def _ask(
        self, objects: Sequence[Sequence[ObjectPrompt]], *, multimask_output: bool, return_logits: bool
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        self._expect_images()
        if len(objects) != len(self._sizes):
            raise ValueError(f"Expected the prompts of {len(self._sizes)} images, but got those of {len(objects)}.")
        answer = self._decode(padded(objects, self._sizes, self.transform), multimask_output=multimask_output)
        found = []
        for index, asked in enumerate(objects):
            parts = self._at_source(answer, index, num_objects=len(asked), return_logits=return_logits)
            found.append(tuple(part.numpy(force=True) for part in parts))
        return found  # type: ignore[return-value]

    def _decode(self, prompts: Prompts, *, multimask_output: bool) -> MaskPrediction:
        return self._running.decode(self._expect_images(), prompts.to(self.device), multimask_output=multimask_output)

    def _at_source(
        self, answer: MaskPrediction, index: int, *, return_logits: bool, num_objects: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks, IoUs and logits of the objects of one image."""
        logits = answer.low_res_logits[index, :num_objects]  # (N, C, h, w)
        frame = self._frame(index)
        masks = frame.logits_to_source(logits) if return_logits else masks_at_source(logits, frame)
        return masks, answer.iou_predictions[index, :num_objects], logits

    def _frame(self, index: int) -> Frame:
        return Frame(self._sizes[index], self.model.image_size)

    def _expect_images(self) -> ImageEmbedding:
        if self._embedding is None:
            raise RuntimeError("Expected an image to ask about: call set_image(image) first.")
        return self._embedding
