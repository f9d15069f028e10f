"""Masks in slices of medical volumes, by weights that expect images as MedSAM prepares them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from sam_ft.checkpoints import load_model
from sam_ft.inference.execution import Execution
from sam_ft.inference.pictures_in import as_rgb
from sam_ft.inference.predictor import SamPredictor
from sam_ft.inference.ragged_prompts import ObjectPrompt
from sam_ft.models.sam.model import Sam
from sam_ft.transforms import percentile_range, rescale, resolve_window
from sam_ft.transforms import window as windowed
from sam_ft.types import ImageEmbedding, Prompts

Preparation = Literal["medsam", "sam"]
_PREPARATIONS = ("medsam", "sam")

Answer = tuple[np.ndarray, np.ndarray, np.ndarray]


class MedSAMPredictor:
    """Encodes a slice once, then answers boxes and clicks for it with one mask each.

    Args:
        checkpoint: of any SAM: a path, a known name such as `medsam_vit_b`, or the model itself.
        preparation: how the weights were taught to see images. "medsam": stretched to the frame's square, from 0 to 1
            (MedSAM's own weights and what its trainers make of them); "sam": by the longest side and with SAM's mean
            and deviation (everything that sam-ft trains).
        execution: how the model is run; None: in the precision of its weights.

    Raises:
        ValueError: the checkpoint cannot be read, or another preparation.

    Source: Ma et al. 2024 (MedSAM), `MedSAM_Inference.py`.
    """

    def __init__(
        self,
        checkpoint: str | Path | Sam,
        *,
        preparation: Preparation = "medsam",
        execution: Execution | None = None,
    ) -> None:
        if preparation not in _PREPARATIONS:
            raise ValueError(f"Expected `preparation` to be {' or '.join(_PREPARATIONS)}, but got {preparation!r}.")
        self.model = checkpoint if isinstance(checkpoint, Sam) else load_model(checkpoint)
        self.preparation = preparation
        self._by_side = SamPredictor(self.model, execution=execution)
        self._running = (execution or Execution()).of(self.model)
        self._stretched: tuple[ImageEmbedding, tuple[int, int]] | None = None

    @torch.no_grad()
    def set_image(self, image: np.ndarray, window: str | tuple[float, float] | None = None) -> None:
        """Encode a slice; prompts are about it from now on.

        Args:
            image: (H, W) raw intensities, such as a slice of `load_medical_image`; or (H, W, 3) uint8 RGB.
            window: of CT, a name such as "lung" or (level, width) in HU; None: 8 bits as they are, anything deeper from
                the 0.5 to the 99.5 percentile of the slice's foreground.

        Raises:
            ValueError: another shape, no finite intensity or no such window.
        """
        pixels = as_rgb(shown(image, window))
        if self.preparation == "sam":
            self._by_side.set_image(pixels)
            return
        side = self.model.image_size
        frame = torch.from_numpy(stretched_to(pixels, side)).permute(2, 0, 1)[None]  # (1, 3, S, S)
        self._stretched = self._running.encode_image(frame), (pixels.shape[0], pixels.shape[1])

    @torch.no_grad()
    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
    ) -> Answer:
        """The mask of one object. Coordinates are pixels of the slice, (x, y). MedSAM was taught boxes alone.

        Args:
            point_coords: (K, 2) points.
            point_labels: (K,) 1 for a point on the object, 0 for one on the background.
            box: (4,) x0, y0, x1, y1.

        Returns:
            The mask (1, H, W) bool, the IoU (1,) that the model thinks it has, its logits (1, h, w).

        Raises:
            RuntimeError: no image is set.
            ValueError: no prompt, points without labels, or other shapes.
        """
        if self.preparation == "sam":
            return self._by_side.predict(point_coords, point_labels, box, multimask_output=False)
        if self._stretched is None:
            raise RuntimeError("Expected an image to ask about: call set_image(image) first.")
        embedding, size = self._stretched
        prompt = ObjectPrompt(points=point_coords, labels=point_labels, box=box)
        answer = self._running.decode(embedding, self._in_frame(prompt, size), multimask_output=False)
        shares = functional.interpolate(answer.low_res_logits[0].sigmoid(), size, mode="bilinear", align_corners=False)
        parts = (shares[0] > 0.5, answer.iou_predictions[0, 0], answer.low_res_logits[0, 0])
        masks, scores, logits = (part.numpy(force=True) for part in parts)
        return masks, scores, logits

    def _in_frame(self, prompt: ObjectPrompt, size: tuple[int, int]) -> Prompts:
        """The prompt of one object in a slice of some size, stretched as the slice is."""
        height, width = size
        scale = self.model.image_size / np.array([width, height])

        def moved(xy: np.ndarray) -> Tensor:
            return torch.from_numpy(np.asarray(xy).reshape(-1, 2) * scale).float().to(self.model.device)

        labels = None if prompt.labels is None else torch.as_tensor(prompt.labels, device=self.model.device)
        return Prompts(
            points=None if prompt.points is None else moved(prompt.points)[None, None],
            labels=None if labels is None else labels[None, None],
            boxes=None if prompt.box is None else moved(prompt.box).reshape(1, 1, 4),
        )


def shown(image: np.ndarray, window: str | tuple[float, float] | None) -> np.ndarray:
    """Intensities of a slice as 8 bits; those that are already are left as they are.

    Raises:
        ValueError: no finite intensity, or no such window.
    """
    image = np.asarray(image)
    if window is not None:
        level, width = resolve_window(window)
        return windowed(image, level=level, width=width)
    if image.dtype == np.uint8:
        return image
    low, high = percentile_range(image)
    return rescale(image, low=low, high=high)


def stretched_to(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (side, side, 3) float32 from 0 to 1, its proportions not kept.

    By cubic splines, smoothed first where it shrinks, as `skimage.transform.resize(order=3, anti_aliasing=True)` does
    for MedSAM; then the darkest value is 0 and the brightest 1.
    """
    height, width = pixels.shape[:2]
    values = pixels.astype(np.float64)
    shrinking = [max(0.0, (length / side - 1) / 2) for length in (height, width)]
    if any(shrinking):
        values = ndimage.gaussian_filter(values, (*shrinking, 0), mode="mirror")
    values = ndimage.zoom(values, (side / height, side / width, 1), order=3, mode="mirror", grid_mode=True)
    resized = values.clip(pixels.min(), pixels.max()).astype(np.uint8).astype(np.float32)
    low, high = resized.min(), resized.max()
    return (resized - low) / max(high - low, 1e-8)
