"""What crosses the borders between the parts: samples, batches, prompts, embeddings, predictions.

Points are (x, y), boxes are (x0, y0, x1, y1), sizes are (height, width). The *source* is the image as its file
holds it; the *frame* is the model's square input of `image_size` pixels a side, into which the source is resized
by its longest side and padded at the bottom and on the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol, cast

import torch
from torch import Tensor

FOREGROUND = 1
BACKGROUND = 0
NOT_A_POINT = -1
"""SAM's own padding token: attended to, once for an object that has points and no box."""
ABSENT = -10
"""A point that is not there: masked out of every attention, so that a batch equals the loop over its objects."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of N objects on each of B images, in pixels of the frame.

    Objects of one call may differ: `labels` marks single points as absent, `has_box` and `has_mask` say which
    objects have a box and a mask; None means that every object has what is given.
    """

    points: Tensor | None = None  # (B, N, K, 2) float
    labels: Tensor | None = None  # (B, N, K) int: FOREGROUND, BACKGROUND or ABSENT
    boxes: Tensor | None = None  # (B, N, 4) float
    masks: Tensor | None = None  # (B, N, h, w) low-resolution logits
    has_box: Tensor | None = None  # (B, N) bool
    has_mask: Tensor | None = None  # (B, N) bool

    def __post_init__(self) -> None:
        if (self.points is None) != (self.labels is None):
            raise ValueError("Expected `points` and `labels` together, but got one without the other.")
        if self.points is not None and self.labels is not None and self.points.shape[:-1] != self.labels.shape:
            raise ValueError(
                "Expected `points` (B, N, K, 2) and `labels` (B, N, K), "
                f"but got {tuple(self.points.shape)} and {tuple(self.labels.shape)}."
            )
        if self.points is None and self.boxes is None and self.masks is None:
            raise ValueError("Expected at least one of `points`, `boxes` and `masks`, but got none.")

    def to(self, device: torch.device | str) -> Prompts:
        """The prompts on `device`."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return Prompts(**{name: tensor.to(device) for name, tensor in given.items()})


@dataclass(frozen=True)
class ImageEmbedding:
    """What `encode_image` returns once per image."""

    features: Tensor  # (B, C, h, w)
    high_resolution: tuple[Tensor, ...] = ()  # SAM 2; and HQ-SAM, the encoder's early features (B, C', h, w)

    @classmethod
    def joined(cls, parts: Sequence[ImageEmbedding]) -> ImageEmbedding:
        """The embeddings of some images after those of others."""
        others = zip(*(part.high_resolution for part in parts), strict=True)
        return cls(torch.cat([part.features for part in parts]), tuple(torch.cat(each) for each in others))

    @property
    def nbytes(self) -> int:
        """Of all tensors together."""
        return sum(tensor.nbytes for tensor in (self.features, *self.high_resolution))

    def to(
        self, device: torch.device | str, dtype: torch.dtype | None = None, *, non_blocking: bool = False
    ) -> ImageEmbedding:
        """The embedding on `device`, and in another type where one is given."""
        features, *others = (
            tensor.to(device, dtype, non_blocking=non_blocking) for tensor in (self.features, *self.high_resolution)
        )
        return ImageEmbedding(features=features, high_resolution=tuple(others))


@dataclass(frozen=True)
class MaskPrediction:
    """M masks for each of N objects on each of B images."""

    low_res_logits: Tensor  # (B, N, M, h, w): a pixel belongs to the mask where the logit is above 0
    iou_predictions: Tensor  # (B, N, M): the model's own estimate of each mask's IoU
    object_logits: Tensor | None = None  # (B, N), SAM 2 only
    class_logits: Tensor | None = None  # (B, N, M, K), of a model with a class head only
    class_names: tuple[str, ...] = ()  # of these K classes

    @classmethod
    def joined(cls, parts: Sequence[MaskPrediction]) -> MaskPrediction:
        """The predictions for some objects after those for others on the same images."""
        if len(parts) == 1:
            return parts[0]

        def together(tensors: Sequence[Tensor | None]) -> Tensor | None:
            given = [tensor for tensor in tensors if tensor is not None]
            return torch.cat(given, dim=1) if given else None

        return cls(
            low_res_logits=torch.cat([part.low_res_logits for part in parts], dim=1),
            iou_predictions=torch.cat([part.iou_predictions for part in parts], dim=1),
            object_logits=together([part.object_logits for part in parts]),
            class_logits=together([part.class_logits for part in parts]),
            class_names=parts[0].class_names,
        )

    def to(self, dtype: torch.dtype) -> MaskPrediction:
        """The same in another type."""
        return replace(
            self,
            low_res_logits=self.low_res_logits.to(dtype),
            iou_predictions=self.iou_predictions.to(dtype),
            object_logits=None if self.object_logits is None else self.object_logits.to(dtype),
            class_logits=None if self.class_logits is None else self.class_logits.to(dtype),
        )

    def most_confident(self) -> MaskPrediction:
        """The mask with the highest predicted IoU of each object, M = 1."""
        best = self.iou_predictions.argmax(dim=-1, keepdim=True)  # (B, N, 1)
        return replace(
            self,
            low_res_logits=self.low_res_logits.take_along_dim(best[..., None, None], dim=2),
            iou_predictions=self.iou_predictions.take_along_dim(best, dim=2),
            class_logits=(
                None if self.class_logits is None else self.class_logits.take_along_dim(best[..., None], dim=2)
            ),
        )


@dataclass(frozen=True)
class ConfidentMasks:
    """Of M masks for each of N objects on one image, the K that the model trusts."""

    iou_predictions: Tensor  # (N, M), of all
    objects: Tensor  # (K,) int64: which object each is of, rising
    outputs: Tensor  # (K,) int64: and which of its M masks
    low_res_logits: Tensor  # (K, h, w)

    @classmethod
    def joined(cls, parts: Sequence[ConfidentMasks]) -> ConfidentMasks:
        """The masks of some objects after those of others on the same image."""
        firsts = [0, *accumulate(len(part.iou_predictions) for part in parts)]
        return cls(
            iou_predictions=torch.cat([part.iou_predictions for part in parts]),
            objects=torch.cat([part.objects + first for part, first in zip(parts, firsts, strict=False)]),
            outputs=torch.cat([part.outputs for part in parts]),
            low_res_logits=torch.cat([part.low_res_logits for part in parts]),
        )

    def to(self, dtype: torch.dtype) -> ConfidentMasks:
        """The same in another type."""
        return replace(
            self, iou_predictions=self.iou_predictions.to(dtype), low_res_logits=self.low_res_logits.to(dtype)
        )


class PromptableModel(Protocol):
    """What every caller relies on: trainer, predictor, evaluator, data engine, exporter."""

    image_size: int

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        """(B, 3, S, S) normalised frames -> their embedding."""
        ...

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        """Masks for N objects on each of B images; True: tokens 1 to 3, False: token 0, None: all four."""
        ...


@dataclass(frozen=True)
class Sample:
    """One image and its objects at the source's resolution."""

    image: Tensor  # (H, W, 3) uint8
    masks: Tensor  # (N, H, W) bool; objects may overlap
    class_names: tuple[str, ...]  # N names; "object" where the data set has no classes
    name: str  # unique in its data set; what errors, records and pictures call this image
    pixel_mm: tuple[float, float] | None = None  # height and width of a pixel
    ignored: Tensor | None = None  # (H, W) bool: pixels whose class nobody knows; they are neither taught nor measured
    set_name: str | None = None  # of a mixture of data sets, the one that this is from

    def __post_init__(self) -> None:
        height, width = self.image.shape[:2]
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != torch.uint8:
            raise ValueError(
                f"Expected `image` (H, W, 3) of uint8 in {self.name}, "
                f"but got {tuple(self.image.shape)} of {self.image.dtype}."
            )
        if self.masks.ndim != 3 or self.masks.shape[1:] != (height, width) or self.masks.dtype != torch.bool:
            raise ValueError(
                f"Expected `masks` (N, {height}, {width}) of bool in {self.name}, "
                f"but got {tuple(self.masks.shape)} of {self.masks.dtype}."
            )
        if self.ignored is not None and (self.ignored.shape, self.ignored.dtype) != ((height, width), torch.bool):
            raise ValueError(
                f"Expected `ignored` ({height}, {width}) of bool in {self.name}, "
                f"but got {tuple(self.ignored.shape)} of {self.ignored.dtype}."
            )
        if len(self.class_names) != len(self.masks):
            raise ValueError(
                f"Expected {len(self.masks)} `class_names` in {self.name}, but got {len(self.class_names)}."
            )

    @property
    def unknown(self) -> Tensor | None:
        """(H, W) bool: the ignored pixels, but for those of an object, which are known; None where none are ignored."""
        return None if self.ignored is None else self.ignored & ~self.masks.any(dim=0)


def blank_image(height: int, width: int) -> Tensor:
    """(height, width, 3) uint8 zeros that take no memory, for a sample whose image nobody looks at."""
    return torch.zeros((), dtype=torch.uint8).expand(height, width, 3)


@dataclass(frozen=True)
class Batch:
    """B samples in the model's frame; ragged object counts are padded to the largest N.

    There may be more images than samples: the ones at the end are padding then, without a valid object, and have no
    part in any mean. What the images show comes either as pixels or, where an image encoder has seen them before, as
    their embedding.
    """

    images: Tensor | None  # (B, 3, S, S) float, normalised, zero in the padding; None where there is an embedding
    masks: Tensor  # (B, N, S, S) bool
    valid: Tensor  # (B, N) bool: False for padded objects, which cost no loss and change no gradient
    samples: tuple[Sample, ...]  # the sources, for measuring at their resolution
    ignored: Tensor | None = None  # (B, S, S) bool, as in `Sample`; None where no sample has any
    embedding: ImageEmbedding | None = None  # of the images, in any floating-point type

    def __post_init__(self) -> None:
        if (self.images is None) == (self.embedding is None):
            raise ValueError("Expected either `images` or their `embedding`, but got both or neither.")

    def embedded(
        self, encode_image: Callable[[Tensor], ImageEmbedding], *, device: torch.device | str
    ) -> ImageEmbedding:
        """The images' embedding on `device`: the given one, or else what `encode_image` makes of them.

        A given one is 32 bits wide as the decoder's weights are, but under autocast, which takes it as it is.
        """
        if self.embedding is not None:
            is_mixed = torch.is_autocast_enabled(torch.device(device).type)
            return self.embedding.to(device, None if is_mixed else torch.float32)
        return encode_image(cast(Tensor, self.images).to(device))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on `device`; the samples stay where they are."""
        return replace(
            self,
            images=None if self.images is None else self.images.to(device, non_blocking=non_blocking),
            masks=self.masks.to(device, non_blocking=non_blocking),
            valid=self.valid.to(device, non_blocking=non_blocking),
            ignored=None if self.ignored is None else self.ignored.to(device, non_blocking=non_blocking),
            embedding=None if self.embedding is None else self.embedding.to(device, non_blocking=non_blocking),
        )
