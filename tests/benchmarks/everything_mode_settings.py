"""What both sides of `everything_mode` are told. Imports nothing."""

from __future__ import annotations

SETTINGS = {"points_per_side": 32, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.55}
