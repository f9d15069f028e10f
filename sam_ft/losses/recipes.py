"""The losses that papers and projects train with, by name.

The IoU head learns in all of them, also where the original leaves it out: a model whose IoU head has not followed its
masks cannot choose among them. `iou_weight=0` is the original there.
"""

from __future__ import annotations

from sam_ft.losses.mask import MaskLoss
from sam_ft.losses.pixels import balanced_cross_entropy_loss, cross_entropy_loss
from sam_ft.losses.points import PointSampling
from sam_ft.losses.segmentation import SegmentationLoss


def sam_loss(*, border_factor: float = 0.0) -> SegmentationLoss:
    """focal : dice : squared IoU difference = 20 : 1 : 1 (SAM, appendix A)."""
    return SegmentationLoss(mask=MaskLoss(border_factor=border_factor))


def sam2_loss(*, presence_weight: float = 1.0, border_factor: float = 0.0) -> SegmentationLoss:
    """focal : dice : absolute IoU difference : presence = 20 : 1 : 1 : 1 (SAM 2, training/loss_fns.py)."""
    return SegmentationLoss(mask=MaskLoss(border_factor=border_factor), iou_power=1, presence_weight=presence_weight)


def medsam_loss(*, iou_weight: float = 1.0, border_factor: float = 0.0) -> SegmentationLoss:
    """cross-entropy : dice of squared probabilities = 1 : 1 (MedSAM, train_one_gpu.py; there without the IoU)."""
    mask = MaskLoss(pixel_loss=cross_entropy_loss, pixel_weight=1.0, squared_dice=True, border_factor=border_factor)
    return SegmentationLoss(mask=mask, iou_weight=iou_weight)


def micro_sam_loss() -> SegmentationLoss:
    """dice : squared IoU difference = 1 : 1, no loss of pixels (micro-sam, sam_trainer.py)."""
    return SegmentationLoss(mask=MaskLoss(pixel_weight=0.0))


def sam_med2d_loss() -> SegmentationLoss:
    """SAM's, but the most confident mask is taught and not the best one (SAM-Med2D, utils.py)."""
    return SegmentationLoss(taught="most_confident")


def hq_loss(
    *, num_points: int = 112 * 112, oversampling: float = 3.0, importance: float = 0.75, iou_weight: float = 1.0
) -> SegmentationLoss:
    """cross-entropy : dice = 1 : 1 at points, most of them where the model is unsure (HQ-SAM, there without IoU)."""
    points = PointSampling(num_points=num_points, oversampling=oversampling, importance=importance)
    mask = MaskLoss(pixel_loss=cross_entropy_loss, pixel_weight=1.0, points=points)
    return SegmentationLoss(mask=mask, iou_weight=iou_weight)


def from_scratch_loss(*, border_factor: float = 0.0) -> SegmentationLoss:
    """cross-entropy : dice : IoU = 2 : 1 : 1, a tenth of it for all three masks: learns fast from random weights.

    The focal loss mutes pixels that are nearly right, which helps a trained model and holds up an untrained one.
    """
    mask = MaskLoss(pixel_loss=cross_entropy_loss, pixel_weight=2.0, border_factor=border_factor)
    return SegmentationLoss(mask=mask, relaxation=0.1)


def balanced_loss(*, pixel_weight: float = 1.0, relaxation: float = 0.1) -> SegmentationLoss:
    """balanced cross-entropy : dice : IoU = 1 : 1 : 1, a tenth of it for all three masks: small objects from scratch.

    Where objects cover a thousandth of the image, an empty mask is nearly right in all pixels, and training from random
    weights can stay there for long. Here it is wrong by half. Once masks are found, it makes them a little too large,
    and a smaller `pixel_weight` lets Dice settle the border.
    """
    mask = MaskLoss(pixel_loss=balanced_cross_entropy_loss, pixel_weight=pixel_weight)
    return SegmentationLoss(mask=mask, relaxation=relaxation)
