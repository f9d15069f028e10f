"""How the figures of a summary are called in a table."""

from __future__ import annotations

from sam_ft.evaluation.records.mask_record import prompt_words
from sam_ft.evaluation.records.summaries import BOUNDARY, CLICKS, FAILURES, ORACLE

_HEADINGS = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "best_iou": "IoU of the best object",
    "msa": "mSA",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "dice": "DSC",
    "object_slices_dice": "DSC in slices with an object",
    "nsd": "NSD",
    "hd95_mm": "HD95, mm",
    "slice_dice": "DSC of slices",
    "difference_ml": "volume, ml",
    "absolute_relative_difference": "volume off by a share of",
}
_ASKED = {"miou@": "mIoU", BOUNDARY: "boundary IoU", "class_accuracy@": "class accuracy"}
_CLICKS = {CLICKS: "clicks to IoU", FAILURES: "never at IoU"}


def heading(key: str) -> str:
    """`miou@3` -> "mIoU, 3 clicks"; a figure without a known name keeps its key."""
    if key.startswith("ar@"):
        return f"AR@{key[3:].replace('_', ', ')}"
    for start, words in _CLICKS.items():
        if key.startswith(start):
            return f"{words} 0.{key.removeprefix(start)}"
    for start, words in _ASKED.items():
        if key.startswith(start):
            asked = key.removeprefix(start).removesuffix(ORACLE)
            return f"{words}, {prompt_words(asked)}{', best of three' if key.endswith(ORACLE) else ''}"
    return _HEADINGS.get(key, key)
