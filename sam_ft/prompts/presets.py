"""Named ways to simulate a person's prompts during training.

What the papers say and the projects' code does, without their mistakes; where ours differs on purpose, the preset says
so. All but `Mixture` are one class with other policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from sam_ft.prompts.box_noise import GaussianNoise, OutwardNoise, ShiftNoise, UniformNoise
from sam_ft.prompts.policies import Clicks, Feedback, FirstPrompt, Rounds

KINDS = ("point", "box", "mask", "clicks")
"""Kinds of prompts that may be answered by three masks: a lone first one, or those of the rounds after it."""


@dataclass(frozen=True)
class InteractivePreset:
    """A first prompt, then clicks on the errors, then a look at the mask alone.

    Attributes:
        first: the first prompt.
        rounds: how many there are after it.
        clicks: which clicks a round adds.
        feedback: what a round sees of the one before.
        ambiguous: which of `KINDS` are answered by three masks; the others are answered by one.
    """

    first: FirstPrompt = field(default_factory=FirstPrompt)
    rounds: Rounds = field(default_factory=Rounds)
    clicks: Clicks = field(default_factory=Clicks)
    feedback: Feedback = field(default_factory=Feedback)
    ambiguous: Sequence[str] = ("point", "box")

    def __post_init__(self) -> None:
        for kind in self.ambiguous:
            if kind not in KINDS:
                raise ValueError(f"Expected `ambiguous` to name some of {', '.join(KINDS)}, but got {kind!r}.")

    @property
    def num_rounds(self) -> int:
        """How often the decoder runs for one image, at most."""
        return 1 + self.rounds.num_clicks + self.rounds.num_mask_only

    @property
    def num_points(self) -> int:
        """How many points an object has in one call of the decoder, at most."""
        clicks = max(self.clicks.counts) * (2 if self.clicks.in_pairs else 1)
        first, later = self.first.num_points, clicks * self.rounds.num_clicks
        return first + later if self.feedback.keeps_prompts else max(first, min(clicks, later))

    def draw(self, generator: torch.Generator) -> InteractivePreset:
        """Itself; see `Mixture.draw`."""
        return self


@dataclass(frozen=True)
class Mixture:
    """Several presets, one of them for each batch.

    Attributes:
        presets: by a name of one's own.
        weights: how often each is drawn, by the same names; they need not be 1 in sum.

    Raises:
        ValueError: The names differ, or no weight is above 0.
    """

    presets: dict[str, InteractivePreset]
    weights: dict[str, float]

    def __post_init__(self) -> None:
        if set(self.presets) != set(self.weights):
            raise ValueError(
                f"Expected a weight for each of {', '.join(sorted(self.presets))}, but got weights for "
                f"{', '.join(sorted(self.weights))}."
            )
        if any(weight < 0 for weight in self.weights.values()) or not sum(self.weights.values()) > 0:
            raise ValueError(f"Expected weights of at least 0 and one above it, but got {dict(self.weights)}.")

    @property
    def num_rounds(self) -> int:
        """How often the decoder runs for one image, at most."""
        return max(preset.num_rounds for name, preset in self.presets.items() if self.weights[name] > 0)

    @property
    def num_points(self) -> int:
        """How many points an object has in one call of the decoder, at most."""
        return max(preset.num_points for name, preset in self.presets.items() if self.weights[name] > 0)

    def draw(self, generator: torch.Generator) -> InteractivePreset:
        """One of the presets."""
        names = list(self.presets)
        weights = torch.tensor([float(self.weights[name]) for name in names], device=generator.device)
        return self.presets[names[int(torch.multinomial(weights, 1, generator=generator))]]


PromptPreset = InteractivePreset | Mixture


def sam_paper(
    *,
    point_probability: float = 0.5,
    centre_probability: float = 0.0,
    num_clicks: int = 8,
    fewest_clicks: int | None = None,
    num_mask_only: int = 2,
    box_is_ambiguous: bool = True,
    box_deviation: float = 0.1,
) -> InteractivePreset:
    """SAM, appendix A: a point or a box, 8 clicks, 2 rounds on the mask alone: 11 rounds.

    A lone box counts as one prompt and is answered by three masks; `box_is_ambiguous=False` counts it as two points.
    """
    return InteractivePreset(
        first=FirstPrompt(
            point_probability=point_probability,
            centre_probability=centre_probability,
            box_noise=GaussianNoise(deviation=box_deviation),
        ),
        rounds=Rounds(num_clicks=num_clicks, fewest_clicks=fewest_clicks, num_mask_only=num_mask_only),
        ambiguous=("point", "box") if box_is_ambiguous else ("point",),
    )


def sam2(
    *,
    point_probability: float = 0.5,
    num_clicks: int = 7,
    fewest_clicks: int | None = None,
    from_object_probability: float = 0.1,
) -> InteractivePreset:
    """SAM 2's code on single images: a point or a box for the whole batch, 7 clicks, no rounds on the mask alone.

    A box is two points to it and is answered by one mask; its noise is uniform. A tenth of the clicks ignore the error.
    Source: sam2, training/model/sam2.py and modeling/sam2_utils.py.
    """
    return InteractivePreset(
        first=FirstPrompt(point_probability=point_probability, same_for_all=True, box_noise=UniformNoise()),
        rounds=Rounds(num_clicks=num_clicks, fewest_clicks=fewest_clicks, num_mask_only=0),
        clicks=Clicks(from_object_probability=from_object_probability),
        ambiguous=("point",),
    )


def medsam(*, cap_px: float = 20.0) -> InteractivePreset:
    """MedSAM: one box, each edge up to 20 px outside the object's, answered by one mask.

    The model will not learn what clicks mean. Theirs moves by whole pixels. Source: MedSAM, train_one_gpu.py.
    """
    return InteractivePreset(
        first=FirstPrompt(point_probability=0.0, box_noise=OutwardNoise(cap_px=cap_px)),
        rounds=Rounds(num_clicks=0, num_mask_only=0),
        ambiguous=(),
    )


def micro_sam(
    *, point_probability: float = 0.5, num_clicks: int = 7, mask_probability: float = 0.5
) -> InteractivePreset:
    """micro-sam: a point or a box for the whole batch, then 7 pairs of clicks, the mask fed back half of the time.

    A point is answered by three masks, a box by one; its edges lie up to 2.5 % outside. Theirs alternates points and
    boxes from step to step where ours draws. Source: micro-sam, sam_trainer.py and prompt_generators.py.
    """
    return InteractivePreset(
        first=FirstPrompt(
            point_probability=point_probability, same_for_all=True, box_noise=OutwardNoise(share=0.025, cap_px=None)
        ),
        rounds=Rounds(num_clicks=num_clicks, num_mask_only=0),
        clicks=Clicks(in_pairs=True),
        feedback=Feedback(mask_probability=mask_probability),
        ambiguous=("point",),
    )


def sam_med2d(*, with_quirks: bool = False) -> InteractivePreset:
    """SAM-Med2D: 6 rounds of 1, 3, 5 or 9 clicks and 2 on the mask alone, always three masks.

    First comes a point or a shifted box, alike for the whole batch. Of the rounds on the mask alone one comes straight
    after clicks and one at the end. Each round's clicks replace the prompts before. Theirs feeds back probabilities
    where SAM expects logits, which `with_quirks=True` does too. Source: SAM-Med2D, train.py and utils.py.
    """
    return InteractivePreset(
        first=FirstPrompt(same_for_all=True, box_noise=ShiftNoise()),
        rounds=Rounds(num_clicks=6, num_mask_only=2, mask_only_after_click=True),
        clicks=Clicks(counts=(1, 3, 5, 9)),
        feedback=Feedback(as_probabilities=with_quirks, keeps_prompts=False),
        ambiguous=KINDS,
    )


def hq(*, num_points: int = 10) -> InteractivePreset:
    """HQ-SAM: the object's exact box, 10 points on it or a spoilt mask of it, as often each; one round, one mask.

    Theirs never draws a pixel twice, and spoils masks by another noise. Source: sam-hq, train/train.py.
    """
    first = FirstPrompt(
        point_probability=1 / 3, mask_probability=1 / 3, box_noise=GaussianNoise(deviation=0.0), num_points=num_points
    )
    return InteractivePreset(first=first, rounds=Rounds(num_clicks=0, num_mask_only=0), ambiguous=())


def box_only(*, box_deviation: float = 0.1) -> InteractivePreset:
    """One noisy box and nothing else. The model will not learn what clicks mean."""
    return InteractivePreset(
        first=FirstPrompt(point_probability=0.0, box_noise=GaussianNoise(deviation=box_deviation)),
        rounds=Rounds(num_clicks=0, num_mask_only=0),
        ambiguous=("box",),
    )


def points_only(
    *, centre_probability: float = 0.0, num_clicks: int = 8, fewest_clicks: int | None = None
) -> InteractivePreset:
    """Clicks and no boxes: one on the object, 8 on the errors."""
    return InteractivePreset(
        first=FirstPrompt(point_probability=1.0, centre_probability=centre_probability),
        rounds=Rounds(num_clicks=num_clicks, fewest_clicks=fewest_clicks, num_mask_only=0),
        ambiguous=("point",),
    )


def mask_refine(*, num_clicks: int = 3, fewest_clicks: int | None = 0) -> InteractivePreset:
    """A spoilt mask to be mended, with up to 3 clicks: for labels of a poor model, or a neighbouring slice's mask."""
    return InteractivePreset(
        first=FirstPrompt(point_probability=0.0, mask_probability=1.0),
        rounds=Rounds(num_clicks=num_clicks, fewest_clicks=fewest_clicks, num_mask_only=0),
        ambiguous=(),
    )
