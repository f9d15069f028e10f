"""Whether masks lie where the edges of their images are: shifts and mirrored labels of a whole data set.

One image cannot tell: its edges may lie anywhere. But nothing lets the outlines of many images' masks fall onto
stronger edges when all are moved by the same few pixels, or all are mirrored, except that they were moved or mirrored.
So for each image the mean edge strength along the outlines is measured for every small shift and for every way to
mirror, and a fault is claimed only where most images agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from sam_ft.doctor.seen import View

REACH = 16
"""Largest shift that is looked for, in pixels of a picture whose longer side is `SIDE`."""
SIDE = 256
LEAST_VIEWS = 8
"""Fewer pictures prove nothing."""
LEAST_CASES = 3
"""Nor do the slices of fewer volumes, which look alike."""
MOST_VIEWS = 200
_AGREE = 0.8
"""Share of the pictures that must fit better moved, or mirrored, than as they are."""
_NOTICEABLE = 2.5
"""Shifts of fewer pixels of the small picture may be rounding, or how somebody draws outlines."""
_BETTER = 1.3
_CLEARLY = 0.25
"""Edges along outlines are this much stronger than elsewhere, at least, where a claim is made."""

MIRRORS = {
    "left and right": lambda labels: labels[:, ::-1],
    "top and bottom": lambda labels: labels[::-1],
    "both ways (turned by 180 degrees)": lambda labels: labels[::-1, ::-1],
    "rows and columns": lambda labels: labels.T,
}
"""What may be exchanged in labels; rows and columns in square ones only."""


@dataclass(frozen=True)
class Shift:
    """All masks lie this far from their edges, as a share of the longer side; right and down are positive."""

    right: float
    down: float
    share: float  # of the pictures that fit better when it is undone


@dataclass(frozen=True)
class Mirrored:
    """All masks fit better when this is exchanged."""

    what: str
    share: float  # of the pictures


@dataclass
class Alignment:
    """The edge strength along outlines, picture by picture; memory is 9 kB for each of `MOST_VIEWS`."""

    shifts: list[np.ndarray] = field(default_factory=list)  # each (2 REACH + 1, 2 REACH + 1)
    mirrors: list[dict[str, float]] = field(default_factory=list)
    cases: set[str] = field(default_factory=set)

    def add(self, view: View, *, case: str) -> None:
        """Measure one picture of a case, if there is room for it and it has both edges and outlines."""
        if len(self.shifts) >= MOST_VIEWS:
            return
        edges, labels = _edges(view.image), _reduced(view.labels)
        outline = _outline(labels)
        if not outline.any() or outline.mean() > 0.5 or edges.mean() <= 0:
            return
        spectrum = fft.rfft2(edges / edges.mean(), s=_padded(edges.shape))
        self.cases.add(case)
        self.shifts.append(_strengths(outline, spectrum))
        square = labels.shape[0] == labels.shape[1]
        self.mirrors.append(
            {
                what: float(_strengths(_outline(mirror(labels)), spectrum)[_NEAR].max())
                for what, mirror in MIRRORS.items()
                if square or what != "rows and columns"
            }
        )

    def shift(self) -> Shift | None:
        """By how much all masks are shifted; None where they are not, or nothing tells."""
        if not self._is_enough:
            return None
        every = np.stack(self.shifts)  # (V, 2 REACH + 1, 2 REACH + 1)
        mean = every.mean(axis=0)
        row, column = np.unravel_index(int(mean.argmax()), mean.shape)
        down, right = int(row) - REACH, int(column) - REACH
        if max(abs(down), abs(right)) < _NOTICEABLE or max(abs(down), abs(right)) == REACH:
            return None
        here, there = every[(slice(None), *_NEAR)].max(axis=(1, 2)), every[:, row, column]
        share = float((there > here).mean())
        is_clear = mean.max() > _CLEARLY and mean.max() > _BETTER * max(float(here.mean()), 0.0)
        # What fits best is where the outlines must be moved to: the masks lie the other way.
        return Shift(-right / SIDE, -down / SIDE, share) if share >= _AGREE and is_clear else None

    def mirrored(self) -> Mirrored | None:
        """What is exchanged in all masks; None where nothing is, or nothing tells."""
        if not self._is_enough:
            return None
        here = np.array([strengths[_NEAR].max() for strengths in self.shifts])
        moved = float(np.stack(self.shifts).mean(axis=0).max())  # a shift explains as much as that
        found = []
        for what in MIRRORS:
            if all(what in each for each in self.mirrors):
                there = np.array([each[what] for each in self.mirrors])
                share = float((there > here).mean())
                is_clear = there.mean() > _CLEARLY and there.mean() > max(2 * float(here.mean()), moved)
                if share >= _AGREE and is_clear:
                    found.append((float(there.mean()), Mirrored(what, share)))
        return max(found, key=lambda each: each[0])[1] if found else None

    @property
    def _is_enough(self) -> bool:
        return len(self.shifts) >= LEAST_VIEWS and len(self.cases) >= LEAST_CASES


_NEAR = (slice(REACH - 1, REACH + 2), slice(REACH - 1, REACH + 2))


def _edges(image: np.ndarray) -> np.ndarray:
    """(h, w) gradient's length of the reduced grey picture."""
    grey = Image.fromarray(image).convert("L")
    width, height = _small(grey.size)
    small = np.array(grey.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return ndimage.gaussian_gradient_magnitude(small, sigma=1.0)


def _reduced(labels: np.ndarray) -> np.ndarray:
    """(h, w) the nearest pixels."""
    width, height = _small((labels.shape[1], labels.shape[0]))
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    return labels[rows][:, columns]


def _outline(labels: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels beside one of another value; the picture's border is none."""
    outline = np.zeros(labels.shape, dtype=bool)
    below, beside = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    outline[1:] |= below
    outline[:-1] |= below
    outline[:, 1:] |= beside
    outline[:, :-1] |= beside
    return outline


def _strengths(outline: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """(2 REACH + 1, 2 REACH + 1) mean edge strength along the moved outline, less 1, which is the mean everywhere."""
    size = _padded(outline.shape)
    moved = fft.irfft2(spectrum * np.conj(fft.rfft2(outline.astype(np.float32), s=size)), s=size)
    shown = fft.irfft2(
        fft.rfft2(np.ones(outline.shape, dtype=np.float32), s=size)
        * np.conj(fft.rfft2(outline.astype(np.float32), s=size)),
        s=size,
    )  # pixels of the moved outline that are still in the picture
    around = np.arange(-REACH, REACH + 1)
    total, count = moved[np.ix_(around, around)], shown[np.ix_(around, around)]
    return (total / np.maximum(count, 1.0) - 1).astype(np.float64)


def _small(size: Sequence[int]) -> tuple[int, int]:
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _padded(shape: tuple[int, ...]) -> tuple[int, int]:
    """A size in which what is moved out on one side does not come in on the other."""
    return int(fft.next_fast_len(shape[0] + REACH, real=True)), int(fft.next_fast_len(shape[1] + REACH, real=True))
