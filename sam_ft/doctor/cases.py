"""What a data set holds on disk, before any of it is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np

from sam_ft.data.pixels import AS_IT_IS, PixelRule
from sam_ft.data.semantic_maps import ClassValues
from sam_ft.data.splits import Part
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.sources import ImageSource, LabelSource
from sam_ft.doctor.findings import Finding
from sam_ft.types import Sample


class Meaning(Enum):
    """What the numbers of a label mean."""

    INSTANCES = "instances"
    """Every value above 0 is one object of its image."""
    CLASSES = "classes"
    """A value is a class of its pixels."""


@dataclass(frozen=True)
class Case:
    """One image, or one volume, with its label.

    Attributes:
        name: unique in its part.
        part: train, val or test; None where that is not known, or it belongs to none.
        group: what must not come apart: a patient, a volume, a file.
        image: the file; None where there is none.
        label: its label map or label volume; None where labels are no such files.
        sample: reads what the data set makes of it, where `label` says nothing.
        volume_index: which volume of a 4-D image.
        opened: the volume and its label as their reader opened them; None where their files are opened when they are
            looked at.
    """

    name: str
    part: Part | None
    group: str
    image: Path | None = None
    label: Path | None = None
    sample: Callable[[], Sample] | None = None
    volume_index: int | None = None
    opened: Opened | None = None

    @property
    def path(self) -> Path | None:
        """What tells which patient or film it is of: the image's path, or that of the label where images have none."""
        return self.image or self.label


@dataclass(frozen=True, eq=False)
class Opened:
    """A volume whose numbers are read when they are needed; `label` is None where another volume of the case has it."""

    image: ImageSource
    label: LabelSource | None


@dataclass(frozen=True)
class Inventory:
    """All cases of a data set, and how they are read.

    Attributes:
        cases: in the order of their names.
        meaning: of the labels.
        findings: what was noticed while the files were listed.
        is_volumes: whether cases are volumes, of which slices are seen.
        axis: the plane of the slices; of volumes only.
        window: (level, width) through which slices are shown; "file": that of each header; None: percentiles of the
            volume.
        rule: what counts as an object of a slice; of volumes only.
        values: what the numbers in label maps of classes mean.
        smallest_px: smaller objects are left out.
        pixels: how the pixels of image files are shown.
    """

    cases: Sequence[Case]
    meaning: Meaning = Meaning.INSTANCES
    findings: Sequence[Finding] = ()
    is_volumes: bool = False
    axis: str = "axial"
    window: tuple[float, float] | Literal["file"] | None = None
    rule: ObjectRule = field(default_factory=ObjectRule)
    values: ClassValues | None = None
    smallest_px: int = 1
    pixels: PixelRule = AS_IT_IS

    @property
    def least_area_px(self) -> int:
        """Objects of fewer pixels are left out."""
        return self.rule.min_area_px if self.is_volumes else self.smallest_px

    @property
    def least_area_key(self) -> str:
        """The setting that says so."""
        return "data.objects.min_area_px" if self.is_volumes else "data.min_area_px"


def drawn(cases: Sequence[Case], *, limit: int, seed: int) -> list[Case]:
    """At most `limit` cases, drawn by the seed, in their order; all where there are no more."""
    if len(cases) <= limit:
        return list(cases)
    chosen = np.random.default_rng(seed).choice(len(cases), limit, replace=False)
    return [cases[index] for index in sorted(chosen.tolist())]
