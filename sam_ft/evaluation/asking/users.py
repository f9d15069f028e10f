"""Who clicks in an interactive evaluation: a simulated user, or one who repeats recorded clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from sam_ft.checks import expect_whole_number
from sam_ft.evaluation.asking.asked_objects import AskedObjects
from sam_ft.evaluation.asking.clicks import next_click
from sam_ft.evaluation.asking.first_clicks import centre_of_mass_points, drawn_points
from sam_ft.evaluation.records.mask_record import MaskRecord, PromptKind
from sam_ft.masks.areas import mask_areas
from sam_ft.types import ABSENT, FOREGROUND

FirstClick = Literal["centre", "random", "centre_of_mass"]


class User(Protocol):
    """Looks at the last answers and clicks once for each object."""

    def __call__(self, objects: AskedObjects, prompt: PromptKind) -> tuple[Tensor, Tensor]:
        """Points (n, 2) in pixels of the source, and labels (n,), ABSENT where there is nothing to click.

        Args:
            objects: with the clicks so far and the last answer.
            prompt: what the clicks go on from: "click" nothing, "box" a box.
        """
        ...


@dataclass(frozen=True)
class SimulatedUser:
    """Clicks the centre of the largest error (`asking.clicks`), and an object without any answer by a rule.

    Attributes:
        first_click: `centre`: the pixel farthest from the object's boundary (Segment Anything, appendix D.1);
            `random`: any pixel of it, drawn uniformly; `centre_of_mass`: see `centre_of_mass_points`.
        seed: Of random first clicks.

    Raises:
        ValueError: An unknown rule, or a seed that is no whole number from 0.
    """

    first_click: FirstClick = "centre"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.first_click not in get_args(FirstClick):
            raise ValueError(
                f"Expected `first_click` to be one of {', '.join(get_args(FirstClick))}, but got {self.first_click!r}."
            )
        expect_whole_number("seed", self.seed, least=0)

    def __call__(self, objects: AskedObjects, prompt: PromptKind) -> tuple[Tensor, Tensor]:
        """One click for each object."""
        is_first = prompt == "click" and objects.points.shape[1] == 0
        if not is_first or self.first_click == "centre":
            return next_click(objects.masks, objects.targets)
        if self.first_click == "centre_of_mass":
            points = centre_of_mass_points(objects.targets)
        else:
            points = drawn_points(
                objects.targets, image=objects.sample.name, first_index=objects.first_index, seed=self.seed
            )
        return points, torch.full((len(points),), FOREGROUND)


@dataclass(frozen=True)
class RecordedUser:
    """Clicks what another evaluation has recorded: the same points in the same rounds, whatever the answers are.

    Where the recorded user saw no error any more, there is no click, and the answer stays.

    Attributes:
        records: Of the other evaluation.
        source: Where they are from, for messages.
    """

    records: Sequence[MaskRecord] = field(repr=False)
    source: str
    _longest: Mapping[tuple[str, int, str], MaskRecord] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.records, key=lambda record: record.num_clicks)
        longest = {(record.image, record.object_index, record.prompt): record for record in ordered}
        object.__setattr__(self, "_longest", longest)

    def __call__(self, objects: AskedObjects, prompt: PromptKind) -> tuple[Tensor, Tensor]:
        """The recorded click of each object in this round.

        Raises:
            ValueError: An object was not recorded, is another one, or was asked for with fewer clicks.
        """
        turn = objects.points.shape[1]
        points = torch.zeros(len(objects.targets), 2)
        labels = torch.full((len(points),), ABSENT)
        for n, area_px in enumerate(mask_areas(objects.targets).tolist()):
            record = self._record_of(objects.sample.name, objects.first_index + n, prompt, turn=turn)
            if record.area_px != area_px:
                raise ValueError(
                    f"Expected the masks that {self.source} was recorded with, but object {record.object_index} of "
                    f"{record.image} has {area_px} pixels and not {record.area_px}."
                )
            if turn < len(record.points):
                points[n], labels[n] = torch.tensor(record.points[turn]), record.labels[turn]
        return points, labels

    def _record_of(self, image: str, object_index: int, prompt: PromptKind, *, turn: int) -> MaskRecord:
        record = self._longest.get((image, object_index, prompt))
        asked = "" if prompt == "click" else " after the box"
        if record is None or record.num_clicks <= turn:
            held = 0 if record is None else record.num_clicks
            raise ValueError(
                f"Expected at least {turn + 1} recorded clicks{asked} for object {object_index} of {image}, "
                f"but {self.source} has {held}."
            )
        return record
