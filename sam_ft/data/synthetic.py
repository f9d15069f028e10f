"""`Synthetic`: textured shapes on a textured ground, for tests and first tries without data."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from sam_ft.data.drawn import DrawnImages, smooth_noise
from sam_ft.types import Sample

_MOST_SHAPES = 5
_SMALLEST_PX = 12


class Synthetic(DrawnImages):
    """Images of ellipses and polygons, some with a smaller ellipse inside (a cell and its nucleus).

    Masks are the visible parts: what another shape hides is not included, but a shape includes what is nested in it.
    Every mask has at least 12 pixels.
    """

    def _draw(self, random: np.random.Generator, index: int) -> Sample:
        image = _texture(random, self.image_size, base=random.uniform(30, 90, size=3), contrast=12)
        names: list[str] = []
        masks: list[np.ndarray] = []
        for _ in range(int(random.integers(1, _MOST_SHAPES + 1))):
            for name, mask in _shape(random, self.image_size):
                nested = name == "nucleus"
                paint = _texture(random, self.image_size, base=random.uniform(100, 230, size=3), contrast=15)
                image = np.where(mask[..., None], paint, image)
                masks = [other if nested and other is masks[-1] else other & ~mask for other in masks]
                masks.append(mask)
                names.append(name)
        image = image + random.normal(0, 5, size=image.shape)
        large = [number for number, mask in enumerate(masks) if mask.sum() >= _SMALLEST_PX]
        visible = np.array([masks[number] for number in large], dtype=bool).reshape(-1, *image.shape[:2])  # (N, H, W)
        return Sample(
            image=torch.from_numpy(np.rint(image).clip(0, 255).astype(np.uint8)),
            masks=torch.from_numpy(visible),
            class_names=tuple(names[number] for number in large),
            name=f"synthetic_{index:05d}",
        )


def _shape(random: np.random.Generator, size: int) -> list[tuple[str, np.ndarray]]:
    """One shape as (class name, mask), and perhaps what is nested in it."""
    centre = random.uniform(0.15, 0.85, size=2) * size
    radii = random.uniform(0.08, 0.22, size=2) * size
    angle = random.uniform(0, np.pi)
    if random.random() < 0.4:
        return [("polygon", _polygon(random, centre, radius=float(radii.max()), size=size))]
    shapes = [("ellipse", _ellipse(centre, radii, angle=angle, size=size))]
    if random.random() < 0.4:
        shapes.append(("nucleus", _ellipse(centre, radii * 0.5, angle=angle, size=size)))
    return shapes


def _ellipse(centre: np.ndarray, radii: np.ndarray, *, angle: float, size: int) -> np.ndarray:
    """(size, size) bool; `centre` is (x, y) in pixels."""
    y, x = np.mgrid[:size, :size]
    dx, dy = x - centre[0], y - centre[1]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1


def _polygon(random: np.random.Generator, centre: np.ndarray, *, radius: float, size: int) -> np.ndarray:
    """(size, size) bool: 4 to 8 corners around `centre`, seen from which every edge is visible."""
    num_corners = int(random.integers(4, 9))
    angles = (np.arange(num_corners) + random.uniform(0, 0.6, size=num_corners)) * 2 * np.pi / num_corners
    distances = random.uniform(0.6, 1.0, size=num_corners) * radius
    corners = [
        (float(centre[0] + distance * np.cos(angle)), float(centre[1] + distance * np.sin(angle)))
        for angle, distance in zip(angles, distances, strict=True)
    ]
    canvas = Image.new("L", (size, size))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    return np.array(canvas, dtype=bool)


def _texture(random: np.random.Generator, size: int, *, base: np.ndarray, contrast: float) -> np.ndarray:
    """(size, size, 3) float: smooth variation around the colour `base`."""
    return base + contrast * smooth_noise(random, size, cells=4)[..., None]
