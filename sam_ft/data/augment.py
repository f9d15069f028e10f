"""Augmentation with Albumentations, image and masks together, replayable from one seed per sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol

import numpy as np


class Augmentation(Protocol):
    """(H, W, 3) uint8 and (N, H, W) uint8 masks or label maps -> the same, changed alike, without new values.

    Equal seeds give equal results.
    """

    def __call__(self, image: np.ndarray, masks: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]: ...


class AlbumentationsPipeline:
    """A list of Albumentations transforms, each with a random stream of its own.

    `Compose.set_random_seed` gives every transform the SAME seed, so that for instance a horizontal and a vertical
    flip of probability 0.5 always happen together; here the seeds of the transforms are drawn from the sample's.

    Args:
        transforms: Albumentations transforms for images and masks.
    """

    def __init__(self, transforms: list[Any]) -> None:
        self._compose = _albumentations().Compose(transforms)

    def describe(self) -> dict[str, Any]:
        """The transforms with all their settings, and the version of their library."""
        return self._compose.to_dict()

    def __call__(self, image: np.ndarray, masks: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Changes image (H, W, 3) uint8 and masks or label maps (N, H, W) uint8 alike; N may be 0."""
        streams = np.random.SeedSequence(seed).generate_state(len(self._compose.transforms) + 1)
        self._compose.set_random_seed(int(streams[-1]))
        for transform, stream in zip(self._compose.transforms, streams, strict=False):
            transform.set_random_seed(int(stream))
        if len(masks) == 0:
            changed = self._compose(image=image)["image"]
            return changed, np.zeros((0, *changed.shape[:2]), dtype=np.uint8)
        result = self._compose(image=image, masks=list(masks))
        return result["image"], np.stack(result["masks"])  # (H, W, 3), (N, H, W)


def augmentation(name: str) -> Augmentation | None:
    """An augmentation by the name of its preset.

    Presets: "none"; "light", for photographs and microscopy seen from above (both flips, quarter turns, brightness
    and contrast); "microscopy", for stains and modalities that differ much (as "light"; some images grey, some with
    dark and bright exchanged); "medical", for slices of volumes (one flip left-right, since anatomy has
    an upside; small rotation, scale and shift; brightness, contrast and gamma; noise and blur).

    Returns:
        The augmentation; None for "none".

    Raises:
        ValueError: An unknown name.
    """
    if name not in _PRESETS:
        raise ValueError(f"Expected `augment` to be one of {', '.join(_PRESETS)}, but got {name!r}.")
    build = _PRESETS[name]
    return None if build is None else AlbumentationsPipeline(build(_albumentations()))


def _light(library: ModuleType) -> list[Any]:
    return [
        library.HorizontalFlip(p=0.5),
        library.VerticalFlip(p=0.5),
        library.RandomRotate90(p=0.5),
        # relative to the image's mean: a shift by a share of 255 would leave nothing of a dim image
        library.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, brightness_by_max=False, p=0.5),
    ]


def _microscopy(library: ModuleType) -> list[Any]:
    return [*_light(library), library.ToGray(p=0.3), library.InvertImg(p=0.3)]


def _medical(library: ModuleType) -> list[Any]:
    shift = {"x": (-0.05, 0.05), "y": (-0.05, 0.05)}
    return [
        library.HorizontalFlip(p=0.5),
        library.Affine(rotate=(-15, 15), scale=(0.85, 1.15), translate_percent=shift, shear=(-5, 5), p=0.7),
        library.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.2, p=0.5),
        library.RandomGamma(gamma_limit=(80, 125), p=0.3),
        library.GaussNoise(std_range=(0.01, 0.05), p=0.3),
        library.GaussianBlur(sigma_limit=(0.3, 1.0), blur_limit=0, p=0.15),
    ]


_PRESETS: dict[str, Callable[[ModuleType], list[Any]] | None] = {
    "none": None,
    "light": _light,
    "microscopy": _microscopy,
    "medical": _medical,
}


def _albumentations() -> ModuleType:
    """The package, imported at first use and without the look-up of newer versions it makes when imported."""
    with _variable("NO_ALBUMENTATIONS_UPDATE", "1"):
        import albumentations

    return albumentations


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable for a while; whatever it was before comes back."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
