"""What segment_anything imports from torchvision, as far as it uses it. Imports nothing of ours, nor the real one."""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from PIL import Image
from torch import Tensor


def resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Of a PIL image torchvision's resize is PIL's."""
    return picture.resize(size[::-1], Image.Resampling.BILINEAR)


def box_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression of boxes of one category, as fast as rows of tensors make it."""
    if idxs.any():
        raise NotImplementedError("Expected boxes of one category.")
    order = scores.argsort(descending=True, stable=True)
    boxes, areas = boxes[order], box_area(boxes)[order]
    dropped, kept = torch.zeros(len(boxes), dtype=torch.bool), []
    for index in range(len(boxes)):
        if dropped[index]:
            continue
        kept.append(index)
        begin = torch.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        end = torch.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        shared = (end - begin).clamp(min=0).prod(dim=1)
        dropped[index + 1 :] |= shared / (areas[index] + areas[index + 1 :] - shared) > iou_threshold
    return order[torch.tensor(kept, dtype=torch.long)]


def install() -> None:
    """Make `import torchvision` find this."""
    functional = ModuleType("torchvision.transforms.functional")
    functional.resize, functional.to_pil_image = resize, Image.fromarray
    boxes = ModuleType("torchvision.ops.boxes")
    boxes.batched_nms, boxes.box_area = batched_nms, box_area
    for name in ("torchvision", "torchvision.transforms", "torchvision.ops"):
        sys.modules[name] = ModuleType(name)
    sys.modules[functional.__name__], sys.modules[boxes.__name__] = functional, boxes
