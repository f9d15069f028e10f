"""What a simulation of prompts is made of: the first prompt, how many rounds, which clicks, what is fed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sam_ft.checks import expect_whole_number
from sam_ft.prompts.box_noise import BoxNoise, GaussianNoise


@dataclass(frozen=True)
class FirstPrompt:
    """A point or several, a spoilt mask or a noisy box.

    Attributes:
        point_probability: how often it is a point.
        mask_probability: how often it is a low-resolution mask of the object, spoilt; else it is a box.
        centre_probability: how often the first point is the object's centre, which evaluations click, else it is drawn
            uniformly.
        same_for_all: whether all objects of a batch get the same kind, by one draw.
        box_noise: displacement of the box.
        num_points: how many points there are where it is one, each drawn by itself.
    """

    point_probability: float = 0.5
    mask_probability: float = 0.0
    centre_probability: float = 0.0
    same_for_all: bool = False
    box_noise: BoxNoise = field(default_factory=GaussianNoise)
    num_points: int = 1

    def __post_init__(self) -> None:
        expect_whole_number("num_points", self.num_points, least=1)
        _expect_probabilities(self, "point_probability", "mask_probability", "centre_probability")
        if self.point_probability + self.mask_probability > 1:
            raise ValueError(
                "Expected `point_probability` and `mask_probability` to be 1 in sum at most, but got "
                f"{self.point_probability} and {self.mask_probability}."
            )


@dataclass(frozen=True)
class Rounds:
    """How often the simulated person looks at the answer.

    Attributes:
        num_clicks: rounds that add clicks in the error region.
        fewest_clicks: their number is drawn for each batch, evenly from this one to `num_clicks`, so that more of the
            training is about first prompts, and a step takes less time; None: always `num_clicks`.
        num_mask_only: rounds that add no click and feed back the mask: the last one at the end, the others each beside
            a click drawn at random.
        mask_only_after_click: whether they come straight after that click, so never straight after the first prompt,
            else before it.
    """

    num_clicks: int = 8
    fewest_clicks: int | None = None
    num_mask_only: int = 2
    mask_only_after_click: bool = False

    def __post_init__(self) -> None:
        expect_whole_number("num_clicks", self.num_clicks, least=0)
        expect_whole_number("num_mask_only", self.num_mask_only, least=0)
        if self.fewest_clicks is not None:
            expect_whole_number("fewest_clicks", self.fewest_clicks, least=0)
        if self.least_clicks > self.num_clicks:
            raise ValueError(
                f"Expected `fewest_clicks` of at most {self.num_clicks}, `num_clicks`, but got {self.fewest_clicks}."
            )
        if self.num_mask_only > 1 and self.least_clicks == 0:
            raise ValueError(
                f"Expected at most 1 mask-only round where there are no clicks, but got {self.num_mask_only}."
            )

    @property
    def least_clicks(self) -> int:
        """The number of clicks that every batch gets."""
        return self.num_clicks if self.fewest_clicks is None else self.fewest_clicks


@dataclass(frozen=True)
class Clicks:
    """Which clicks a round adds.

    Attributes:
        counts: how many, one of these for each round.
        in_pairs: whether each is two: one on what was missed and one on what was wrongly taken.
        from_object_probability: how often a round clicks anywhere on the object, whatever was wrong.
    """

    counts: Sequence[int] = (1,)
    in_pairs: bool = False
    from_object_probability: float = 0.0

    def __post_init__(self) -> None:
        if not self.counts:
            raise ValueError("Expected `counts` to name at least one number of clicks, but it is empty.")
        for count in self.counts:
            expect_whole_number("counts", count, least=1)
        _expect_probabilities(self, "from_object_probability")


@dataclass(frozen=True)
class Feedback:
    """What a round sees of the one before.

    Attributes:
        mask_probability: how often the last mask's logits are fed back, by one draw for each round.
        as_probabilities: whether they are fed back after a sigmoid, which SAM was not taught.
        keeps_prompts: whether the earlier clicks and the box stay.
    """

    mask_probability: float = 1.0
    as_probabilities: bool = False
    keeps_prompts: bool = True

    def __post_init__(self) -> None:
        _expect_probabilities(self, "mask_probability")


def _expect_probabilities(policy: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(policy, name) <= 1:
            raise ValueError(f"Expected `{name}` between 0 and 1, but got {getattr(policy, name)}.")
