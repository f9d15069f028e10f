"""NoC: how many clicks a mask of a given IoU takes (Sofiiuk et al., RITM, 2021).

The IoU is looked at after every click up to the largest number that was asked for. A mask that never gets there counts
with that number, and as a failure.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.summaries import CLICKS, FAILURES, Figure

PERCENTS = (85, 90)


def clicks_needed(records: Sequence[MaskRecord]) -> dict[str, Figure]:
    """`noc@85` and `noc@90`: the clicks that each mask took; empty where no more than one click was asked for."""
    last = _last(records)
    found = {f"{CLICKS}{percent}": Figure() for percent in PERCENTS} if last else {}
    for record in last:
        for percent in PERCENTS:
            found[f"{CLICKS}{percent}"].add(record, _clicks_to(record, percent) or record.num_clicks)
    return found


def clicks_to(records: Sequence[MaskRecord], iou: float) -> Figure:
    """The clicks that each mask took to any IoU, from records of every round (`Questions.every_round`).

    Args:
        records: of one evaluation.
        iou: above 0, up to 1.

    Returns:
        Of each mask the first round in which it had the IoU, else the last round.

    Raises:
        ValueError: a round is missing, so that the IoU may have been reached there, or no mask was clicked.
    """
    rounds: dict[tuple[str, int], list[MaskRecord]] = {}
    for record in records:
        if record.prompt == "click":
            rounds.setdefault((record.image, record.object_index), []).append(record)
    if not rounds:
        raise ValueError("Expected records of clicks, but got none: the evaluation asked without clicks.")
    found, limit = Figure(), torch.tensor(iou)  # float32, as IoUs are
    for own in rounds.values():
        ordered = sorted(own, key=lambda record: record.num_clicks)
        if [record.num_clicks for record in ordered] != list(range(1, len(ordered) + 1)):
            counts = ", ".join(str(record.num_clicks) for record in ordered)
            raise ValueError(
                f"Expected a record of every round of clicks (protocol.every_round=true), but got those of {counts} "
                f"clicks for object {ordered[0].object_index} of {ordered[0].image}."
            )
        reached = (each.num_clicks for each in ordered if torch.tensor(each.iou) >= limit)
        found.add(ordered[-1], next(reached, ordered[-1].num_clicks))
    return found


def failures(records: Sequence[MaskRecord]) -> dict[str, float]:
    """`nof@85` and `nof@90`: how many masks never got there."""
    return {key: sum(figure.values) for key, figure in never_reached(records).items()}


def never_reached(records: Sequence[MaskRecord]) -> dict[str, Figure]:
    """`nof@85` and `nof@90`: of each mask 1 if it never got there, else 0; empty as `clicks_needed`."""
    last = _last(records)
    found = {f"{FAILURES}{percent}": Figure() for percent in PERCENTS} if last else {}
    for record in last:
        for percent in PERCENTS:
            found[f"{FAILURES}{percent}"].add(record, float(_clicks_to(record, percent) is None))
    return found


def _last(records: Sequence[MaskRecord]) -> list[MaskRecord]:
    """The records of the last round of clicks; none if it was the first."""
    clicked = [record for record in records if record.prompt == "click"]
    most = max((record.num_clicks for record in clicked), default=0)
    return [record for record in clicked if record.num_clicks == most] if most > 1 else []


def _clicks_to(record: MaskRecord, percent: int) -> int | None:
    return record.clicks_to_85 if percent == 85 else record.clicks_to_90
