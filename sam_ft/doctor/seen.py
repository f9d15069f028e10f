"""What was seen of one case: a few numbers that are kept, and the pictures that are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sam_ft.doctor.cases import Case
from sam_ft.doctor.findings import Found


@dataclass(frozen=True)
class Problem:
    """Something that keeps a file from being read as is meant; `sam_ft.doctor.checks.files` knows the codes."""

    code: str
    found: Found


class UnusableError(Exception):
    """A file holds something that a problem names."""

    def __init__(self, code: str, path: Path, detail: str = "") -> None:
        super().__init__(code)
        self.problem = Problem(code, Found(str(path), detail))


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Of the intensities of an image as its file stores them.

    Attributes:
        size: height and width of an image; the lengths of the three axes of a volume.
        dtype: of the file.
        low: the smallest finite value, `high` the largest.
        high: see `low`.
        spread: of 8 bits, between the 0.5 and 99.5 percentiles; None otherwise.
        num_levels: how many values occur, 257 for more than 256.
        at_top: share of the pixels that have the largest value in all channels.
        num_not_finite: NaN and infinite values.
        is_wrapped: whether it looks as if the high bits were cut off.
        digest: of all pixels.
        fingerprint: (1024,) of the structure, of length 1; None where there is none.
    """

    size: tuple[int, ...]
    dtype: str
    low: float
    high: float
    spread: float | None
    num_levels: int
    at_top: float
    num_not_finite: int
    is_wrapped: bool
    digest: str
    fingerprint: np.ndarray | None


@dataclass(frozen=True, eq=False)
class LabelFacts:
    """Of the values of a label, and of the objects that it makes.

    Attributes:
        values: value above 0 -> its pixels.
        pieces: value above 0 -> its connected pieces of some size; empty for volumes.
        areas: (N,) pixels of each object, however small, in every picture that was looked at.
        longest: the longer side of the pictures.
        class_names: of the objects, where the data set names them.
    """

    values: dict[int, int]
    pieces: dict[int, int]
    areas: np.ndarray
    longest: int
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridFacts:
    """Of the header of a volume.

    Attributes:
        axes: where the file's axes point, such as LPS.
        spacing_mm: along right, anterior, superior.
        apart: mm and degrees between qform and sform; None where they agree.
        is_placed: whether the header says where the voxels lie.
        in_plane: how many times longer than the other one side of a slice's pixel is.
    """

    axes: str
    spacing_mm: tuple[float, float, float]
    apart: tuple[float, float] | None
    is_placed: bool
    in_plane: float


@dataclass(frozen=True, eq=False)
class View:
    """One picture with its objects."""

    title: str
    image: np.ndarray  # (H, W, 3) uint8 as a model sees it
    labels: np.ndarray  # (H, W) int64; 0: no object


@dataclass(frozen=True, eq=False)
class Seen:
    """All that was seen of one case; None where a file does not let it be seen."""

    case: Case
    image: ImageFacts | None = None
    label: LabelFacts | None = None
    grid: GridFacts | None = None
    label_apart: tuple[float, float] | None = None  # mm and degrees between qform and sform of a label volume
    problems: tuple[Problem, ...] = ()
    views: tuple[View, ...] = field(default=(), repr=False)

    @property
    def where(self) -> str:
        """The file, or the name of a case without one."""
        return self.case.name if self.case.image is None else str(self.case.image)
