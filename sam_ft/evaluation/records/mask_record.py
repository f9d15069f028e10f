"""What an interactive evaluation measures of each mask; `sam_ft.evaluation.records.file` keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

PromptKind = Literal["click", "box", "mask"]


@dataclass(frozen=True)
class MaskRecord:
    """One predicted mask, what was asked and how good the answer is. Coordinates are pixels of the source."""

    image: str
    object_index: int  # the object's place in `Sample.masks`
    class_name: str
    area_px: int
    prompt: PromptKind  # "box" with a number of clicks: the box and so many clicks
    num_clicks: int  # the round; 0 with a box or a mask alone
    iou: float
    predicted_iou: float  # what the model thinks
    predicted_class: str | None = None  # and what it takes the object for, if it knows classes
    points: tuple[tuple[float, float], ...] = ()  # (x, y); fewer than `num_clicks` once no error was left
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None  # (x0, y0, x1, y1), the last pixel's indices included
    set_name: str | None = None  # of a mixture of data sets, the one that the image is from
    oracle_iou: float | None = None  # of the best of the masks, where the model gave several
    clicks_to_85: int | None = None  # after how many clicks the IoU was 0.85 first; None: not up to this round
    clicks_to_90: int | None = None  # the same for 0.90
    boundary_iou: float | None = None  # of the boundaries alone, where it was measured
    in_summary: bool = True  # whether figures are wanted of this round; one that led to a wanted one has none


def of_summary(records: Sequence[MaskRecord]) -> list[MaskRecord]:
    """The records of the rounds that figures are wanted of."""
    return [record for record in records if record.in_summary]


def answer_key(record: MaskRecord) -> tuple[str, int, str, int]:
    """What tells the answers of one evaluation apart: image, object, prompt and number of clicks."""
    return record.image, record.object_index, record.prompt, record.num_clicks


def prompt_order(record: MaskRecord) -> tuple[int, int]:
    """By which records are sorted by prompt: clicks by their number, then the box alone and with clicks, the mask."""
    return get_args(PromptKind).index(record.prompt), record.num_clicks


def prompt_key(record: MaskRecord) -> str:
    """What was asked, in the names of figures: `3` clicks, `box`, `box+1` click, `mask`."""
    if record.prompt == "click":
        return str(record.num_clicks)
    return f"{record.prompt}+{record.num_clicks}" if record.num_clicks else record.prompt


def prompt_words(key: str) -> str:
    """`3` -> "3 clicks", `box+1` -> "box + 1 click"."""
    box, plus, count = key.rpartition("+")
    if not count.isdigit():
        return key
    return f"{box}{plus and ' + '}{count} click{'s' * (count != '1')}"
