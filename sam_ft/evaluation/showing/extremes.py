"""The worst, the middling and the best answers of an evaluation, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import User
from sam_ft.evaluation.measuring import Measurement, measure_interactively
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.types import PromptableModel


@dataclass(frozen=True)
class Extreme:
    """One object of the worst, the median or the best IoU, and which of these it is."""

    word: str
    case: ShownCase
    prompt: str
    num_clicks: int


def extreme_records(records: Sequence[MaskRecord], count: int) -> dict[str, list[MaskRecord]]:
    """So many records each of the worst, the median and the best IoU, of the prompt with the most clicks, else the box.

    Of equal IoUs the first come first; no record comes twice, so that there may be fewer.

    Args:
        records: of one evaluation.
        count: of each kind.
    """
    last = max(map(_last_asked, records), default=None)
    ordered = sorted((each for each in records if _last_asked(each) == last), key=lambda record: record.iou)
    count = min(count, len(ordered) // 3)
    middle = (len(ordered) - count) // 2
    return {
        "Worst": ordered[:count],
        "Median": ordered[middle : middle + count],
        "Best": ordered[len(ordered) - count :][::-1],
    }


def ask_extremes_again(
    model: PromptableModel,
    samples: SampleDataset,
    measurement: Measurement,
    *,
    questions: Questions,
    user: User | None,
    count: int,
) -> tuple[list[Extreme], Measurement]:
    """The extremes of a measurement with their masks, which only a second look at their images can give.

    Args:
        model: the one that was measured.
        samples: the data set that it was measured on.
        measurement: the result.
        questions: what was asked.
        user: who clicked.
        count: of each kind.
    """
    chosen = extreme_records(measurement.records, count)
    names = sorted(
        {record.image for records in chosen.values() for record in records}, key=measurement.places.__getitem__
    )
    images = {name: samples[measurement.places[name]] for name in names}
    extremes = [
        Extreme(word, ShownCase(images[record.image], record.object_index), record.prompt, record.num_clicks)
        for word, records in chosen.items()
        for record in records
    ]
    again = measure_interactively(
        model,
        list(images.values()),
        replace(questions, oracle=False),
        user=user,
        shown=[each.case for each in extremes],
        batch_size=1,
    )
    return extremes, again


def _last_asked(record: MaskRecord) -> tuple[int, int]:
    return ("mask", "box", "click").index(record.prompt), record.num_clicks
