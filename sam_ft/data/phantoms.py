"""`Phantoms`: bodies of several tissues with contrasts drawn at random, to teach a model before it sees real data.

After the idea of domain randomisation: who has seen every contrast takes a real one for one more of them (Billot et al.
2023, "SynthSeg", Medical Image Analysis 86).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from sam_ft.data.drawn import DrawnImages, smooth_noise
from sam_ft.types import Sample

RIM, CORE, NUCLEUS, CAVITY = 1, 2, 3, 4
_TISSUES = {RIM: "rim", CORE: "core", NUCLEUS: "nucleus", CAVITY: "cavity"}
_LEAST_AREA = 0.003
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
_NUM_BODIES = {(1, 1): 0.35, (2, 2): 0.25, (3, 5): 0.25, (6, 14): 0.15}


class Phantoms(DrawnImages):
    """Images of round bodies: plain ones, or a folded rim around a core with nuclei and a cavity.

    Each connected piece of a tissue is an object, and so is each visible body as a whole; bodies hide one another.
    Pieces of less than 0.3 % of the image are left out.

    Args:
        num_images: Length of the data set.
        image_size: Side of the square images in pixels, at least 32.
        seed: Another seed, other images.
        folded: Share of the bodies of several tissues whose core has deep folds that a rim of even thickness follows,
            like the white and grey matter of a brain.

    Raises:
        ValueError: A number out of its range.
    """

    def __init__(self, num_images: int, *, image_size: int = 128, seed: int = 0, folded: float = 0.0) -> None:
        super().__init__(num_images, image_size=image_size, seed=seed)
        if not 0 <= folded <= 1:
            raise ValueError(f"Expected `folded` between 0 and 1, but got {folded}.")
        self.folded = folded

    def _draw(self, random: np.random.Generator, index: int) -> Sample:
        bodies, tissues, shells = _maps(random, self.image_size, folded=self.folded)
        image = _paint(random, bodies, tissues, shells)
        objects = list(_objects(bodies, tissues))
        masks = np.array([mask for _, mask in objects], dtype=bool).reshape(-1, self.image_size, self.image_size)
        return Sample(
            image=torch.from_numpy(image),
            masks=torch.from_numpy(masks),
            class_names=tuple(name for name, _ in objects),
            name=f"phantom_{index:06d}",
        )


def _objects(bodies: np.ndarray, tissues: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, mask) of each piece of a body and of its tissues; a body of one tissue counts once."""
    for body in range(1, int(bodies.max()) + 1):
        inside = bodies == body
        yield from (("body", piece) for piece in _pieces(inside))
        present = np.unique(tissues[inside])
        if len(present) > 1:
            for tissue in present:
                yield from ((_TISSUES[tissue], piece) for piece in _pieces(inside & (tissues == tissue)))


def _pieces(mask: np.ndarray) -> list[np.ndarray]:
    """The connected pieces that are large enough."""
    numbers, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    areas = np.bincount(numbers.ravel())
    return [numbers == number for number in range(1, len(areas)) if areas[number] >= _LEAST_AREA * mask.size]


def _maps(random: np.random.Generator, size: int, *, folded: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where bodies, their tissues and the shells around them lie: three (size, size) maps of numbers, 0 elsewhere."""
    bodies, tissues, shells = (np.zeros((size, size), dtype=np.uint8) for _ in range(3))
    ranges, chances = list(_NUM_BODIES), list(_NUM_BODIES.values())
    low, high = ranges[random.choice(len(ranges), p=chances)]
    num_bodies = int(random.integers(low, high + 1))
    is_plain = random.random() < 0.3
    is_mirrored = num_bodies == 2 and random.random() < 0.6
    for body in range(1, num_bodies + 1):
        if is_mirrored and body == 2:
            mirrored = bodies[:, ::-1] * 2
            free = bodies == 0
            tissues = np.where(free, tissues[:, ::-1], tissues)
            bodies = np.where(free, mirrored, bodies)
            break
        depth = _depth(random, size, num_bodies, is_mirrored=is_mirrored)
        inside = depth > 0
        if is_mirrored:
            inside[:, size // 2 :] = False
        if is_plain:
            tissue = np.full((size, size), RIM, dtype=np.uint8)
        elif folded and random.random() < folded:
            tissue = _folded_tissues(random, depth)
            shells[inside & (tissue == 0)] = random.random() < 0.5
            inside &= tissue > 0
        else:
            tissue = _tissues(random, depth)
        bodies[inside] = body
        tissues[inside] = tissue[inside]
        if random.random() < 0.4:
            near, thickness = random.uniform(0.03, 0.12), random.uniform(0.04, 0.12)
            shells[(depth < -near) & (depth > -near - thickness)] = 1
    shells[bodies > 0] = 0
    return bodies, tissues, shells


def _depth(random: np.random.Generator, size: int, num_bodies: int, *, is_mirrored: bool) -> np.ndarray:
    """(size, size) float: 1 at the centre of a wavy ellipse, 0 on its border, negative outside."""
    radius = random.uniform(0.6, 1.0) * 0.47 / np.sqrt(num_bodies)
    margin = min(0.45, 0.8 * radius)
    x0, y0 = random.uniform(margin, 1 - margin, size=2)
    if is_mirrored:
        x0 = 0.5 - radius * random.uniform(0.5, 1.0)
    angle, aspect = random.uniform(0, np.pi), random.uniform(0.65, 1.0)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    dx, dy = x - x0, y - y0
    along, across = dx * np.cos(angle) + dy * np.sin(angle), (dy * np.cos(angle) - dx * np.sin(angle)) / aspect
    direction = np.arctan2(across, along)
    border = np.ones_like(direction)
    for frequency in range(2, 7):
        border += random.normal(0, 0.12 / frequency) * np.cos(frequency * direction + random.uniform(0, 2 * np.pi))
    folds = random.uniform(0, 0.08) * smooth_noise(random, size, cells=int(random.integers(8, 25)))
    return 1 - np.hypot(along, across) / (radius * border) + folds


def _tissues(random: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    """The tissue of each pixel of a body: the core begins at a depth that varies, so that the rim is folded."""
    size = len(depth)
    begins, folding = random.uniform(0.12, 0.45), random.uniform(0, 0.22)
    folds = folding * smooth_noise(random, size, cells=int(random.integers(5, 25)))
    tissues = np.where(depth + folds > begins, CORE, RIM).astype(np.uint8)
    _add_inclusions(random, tissues, depth)
    return tissues


def _folded_tissues(random: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    """A core with deep folds inside a rim of even thickness; 0 in the clefts between."""
    size = len(depth)
    begins, folding = random.uniform(0.1, 0.35), random.uniform(0.12, 0.4)
    folds = folding * smooth_noise(random, size, cells=int(random.integers(8, 30)))
    core = depth + folds > begins
    rim = ndimage.distance_transform_edt(~core) <= random.uniform(0.012, 0.035) * size
    tissues = np.where(core, CORE, np.where(rim, RIM, 0)).astype(np.uint8)
    _add_inclusions(random, tissues, depth)
    return tissues


def _add_inclusions(random: np.random.Generator, tissues: np.ndarray, depth: np.ndarray) -> None:
    """Draw nuclei into the core, and perhaps a cavity."""
    size = len(depth)
    for _ in range(int(random.integers(0, 4))):
        blob = smooth_noise(random, size, cells=int(random.integers(3, 9)))
        tissues[(blob > random.uniform(1.1, 1.8)) & (tissues == CORE)] = NUCLEUS
    if random.random() < 0.3:
        blob = smooth_noise(random, size, cells=int(random.integers(4, 10)))
        tissues[(depth > random.uniform(0.6, 0.85)) & (blob > -0.5)] = CAVITY


def _paint(random: np.random.Generator, bodies: np.ndarray, tissues: np.ndarray, shells: np.ndarray) -> np.ndarray:
    """(size, size, 3) uint8: tissues of their own brightness or colour, uneven light, blurred, with noise."""
    size = len(bodies)
    num_bodies = int(bodies.max())
    is_grey, is_shared = random.random() < 0.6, random.random() < 0.7
    palettes = np.stack([_palette(random, is_grey=is_grey) for _ in range(num_bodies + 1)])  # (bodies, kinds, 3)
    if is_shared:
        palettes[:] = palettes[0]
    image = palettes[bodies, tissues]  # (size, size, 3); tissue 0 is the ground
    image[bodies == 0] = palettes[0, 0]
    image[shells > 0] = palettes[0, -1]
    grain = np.stack([smooth_noise(random, size, cells=int(random.integers(3, 30))) for _ in range(2)])
    image += (random.uniform(0, 10, size=2)[:, None, None] * grain).sum(axis=0)[..., None]
    image *= 1 + random.uniform(0, 0.15) * smooth_noise(random, size, cells=3)[..., None]
    blur = random.uniform(0, 1.3)
    image = ndimage.gaussian_filter(image, sigma=(blur, blur, 0), mode="nearest", truncate=2.0)
    noise = random.uniform(0, 10) * random.standard_normal((size, size, 1 if is_grey else 3), dtype=np.float32)
    return np.rint(image + noise).clip(0, 255).astype(np.uint8)


def _palette(random: np.random.Generator, *, is_grey: bool) -> np.ndarray:
    """(6, 3) float32: ground, rim, core, nucleus, cavity and shell; neighbours differ visibly."""
    while True:
        brightness = random.uniform(5, 250, size=6)
        if random.random() < 0.5:  # nuclei as bright as the rim, cavities as dark as the ground, as often in bodies
            brightness[3], brightness[4] = brightness[1] + random.normal(0, 8), brightness[0] + random.normal(0, 8)
        ground, rim, core, nucleus, cavity, _ = brightness
        if min(abs(ground - rim), abs(rim - core), abs(core - nucleus), abs(core - cavity)) > 22:
            break
    tint = np.zeros((6, 3)) if is_grey else random.normal(0, 35, size=(6, 3))
    return (brightness[:, None] + tint - tint.mean(axis=1, keepdims=True)).clip(0, 255).astype(np.float32)
