"""The answers that a page shows, picked out while all objects are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sam_ft.evaluation.asking.asked_objects import Answer
from sam_ft.evaluation.records.mask_record import MaskRecord, answer_key
from sam_ft.evaluation.showing.cases import ShownCase


class KeptAnswers:
    """Receives all answers (`on_prediction` of `evaluate_interactively`) and keeps those about some objects.

    Args:
        shown: The objects.

    Attributes:
        answers: `answer_key` -> record and mask (H, W) bool.
    """

    def __init__(self, shown: Sequence[ShownCase]) -> None:
        self._wanted = {(case.sample.name, case.object_index) for case in shown}
        self.answers: dict[tuple[str, int, str, int], tuple[MaskRecord, Tensor]] = {}

    def __call__(self, record: MaskRecord, answer: Answer) -> None:
        if (record.image, record.object_index) in self._wanted:
            self.answers[answer_key(record)] = (record, answer() > 0)
