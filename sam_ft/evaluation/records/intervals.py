"""How far the figures of an interactive evaluation may be off: intervals over other images of the same kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sam_ft.evaluation.comparing.changes import LEAST_IMAGES
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.number_of_clicks import clicks_needed
from sam_ft.evaluation.records.summaries import figures
from sam_ft.metrics.bootstrap import Interval, clustered_interval


def intervals(records: Sequence[MaskRecord]) -> dict[str, Interval]:
    """The 95 % interval of each mean of a summary, from a bootstrap that draws whole images (`clustered_interval`).

    Args:
        records: of one evaluation.

    Returns:
        From the name of the figure to its interval; empty for fewer images than such an interval can be trusted with.
    """
    if len({record.image for record in records}) < LEAST_IMAGES:
        return {}
    return {
        key: clustered_interval(torch.tensor(figure.values, dtype=torch.float64), figure.images)
        for key, figure in (figures(records) | clicks_needed(records)).items()
    }
