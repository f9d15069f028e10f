"""Named ways to simulate a person's prompts during training."""

from __future__ import annotations

from dataclasses import dataclass, field

from sam_ft.checks import expect_whole_number
from sam_ft.prompts.sampling import BoxNoise


@dataclass(frozen=True)
class InteractivePreset:
    """A first prompt, then clicks on the errors, then a look at the mask alone.

    Attributes:
        point_probability: how often the first prompt is a point, else a box.
        centre_probability: how often a first point is the object's centre, which evaluations click, else it is drawn
            uniformly.
        num_clicks: rounds that add one click in the error region.
        fewest_clicks: their number is drawn for each batch, evenly from this one to `num_clicks`, so that more of the
            training is about first prompts, and a step takes less time; None: always `num_clicks`.
        num_mask_only: rounds that add no click and feed back the mask: the last one at the end, the others each before
            a click drawn at random.
        box_is_ambiguous: whether a lone box is answered by three masks (SAM paper) or by one (SAM 2's code).
        box_noise: displacement of the first prompt's box.
    """

    point_probability: float = 0.5
    centre_probability: float = 0.0
    num_clicks: int = 8
    fewest_clicks: int | None = None
    num_mask_only: int = 2
    box_is_ambiguous: bool = True
    box_noise: BoxNoise = field(default_factory=BoxNoise)

    def __post_init__(self) -> None:
        for name in ("point_probability", "centre_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Expected `{name}` between 0 and 1, but got {getattr(self, name)}.")
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

    @property
    def num_rounds(self) -> int:
        """How often the decoder runs for one image, at most."""
        return 1 + self.num_clicks + self.num_mask_only


def sam_paper() -> InteractivePreset:
    """SAM, appendix A: a point or a box, 8 clicks, 2 rounds on the mask alone: 11 rounds."""
    return InteractivePreset()


def box_only() -> InteractivePreset:
    """One noisy box and nothing else."""
    return InteractivePreset(point_probability=0.0, num_clicks=0, num_mask_only=0)
