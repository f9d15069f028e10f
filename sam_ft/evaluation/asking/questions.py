"""What an interactive evaluation asks a model for each object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sam_ft.checks import expect_bool


@dataclass(frozen=True)
class Questions:
    """Which prompts each object is asked for with, and what is measured of the answers.

    Attributes:
        clicks: After which numbers of clicks to record; all lower numbers are asked for too.
        box: Whether to record the answer to the clean box.
        box_clicks: After which numbers of clicks that correct the answer to the box to record; the box stays a prompt.
        mask: Whether to record the answer to a mask alone: the low-resolution logits of the answer to the box are fed
            back, without box or click. One mask is asked for, since nothing is ambiguous any more.
        oracle: Whether to measure, where three masks are given, the best of them too.
        boundary: Whether to measure the IoU of the boundaries too (`sam_ft.metrics.boundary`).
        every_round: Whether to record the rounds between the numbers in `clicks` and `box_clicks` too, so that other
            figures can be worked out from the records. Such a record is not `in_summary`.

    Raises:
        ValueError: Nothing is asked for, a number of clicks is no whole number from 1, or a switch is neither true nor
            false.
    """

    clicks: Sequence[int] = (1, 3, 5)
    box: bool = True
    box_clicks: Sequence[int] = ()
    mask: bool = False
    oracle: bool = True
    boundary: bool = False
    every_round: bool = False

    def __post_init__(self) -> None:
        for name in ("box", "mask", "oracle", "boundary", "every_round"):
            expect_bool(name, getattr(self, name))
        for name in ("clicks", "box_clicks"):
            counts = getattr(self, name)
            is_list = isinstance(counts, Sequence) and not isinstance(counts, str)
            if not is_list or not all(type(count) is int and count >= 1 for count in counts):
                raise ValueError(
                    f"Expected `{name}` to be whole numbers of at least 1, such as [1, 3, 5], but got {counts}."
                )
        if not (self.box or self.clicks or self.box_clicks or self.mask):
            raise ValueError(
                "Expected `clicks`, `box`, `box_clicks` or `mask`, but got none: there is nothing to measure."
            )
