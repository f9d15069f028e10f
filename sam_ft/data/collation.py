"""From samples to batches: choose objects, augment, bring into the model's frame, pad ragged object counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sam_ft.data.augment import Augmentation
from sam_ft.data.layers import layers_of
from sam_ft.data.splits import SampleDataset
from sam_ft.transforms import Frame
from sam_ft.types import Batch, Sample


@dataclass(frozen=True)
class PreparedSample:
    """One sample in the model's frame, and the source it shows."""

    image: Tensor  # (3, S, S) float32, normalised, zero in the padding
    masks: Tensor  # (N, S, S) bool, in the order of `sample.masks`
    sample: Sample  # after the choice of objects and the augmentation
    ignored: Tensor | None = None  # (S, S) bool


@dataclass(frozen=True)
class Prepare:
    """Brings samples into the model's frame, in training after augmentation.

    Objects without a pixel (out of sight after augmentation) are dropped. An object that is too small for the
    frame's resolution keeps the one pixel nearest to its middle, so that every object can be prompted and none
    escapes a measurement.

    Args:
        image_size: Side of the frame in pixels.
        augment: Applied to image and masks together; None for none.
        max_objects: More objects in sight than these are thinned out at random; None keeps all.
    """

    image_size: int
    augment: Augmentation | None = None
    max_objects: int | None = None

    def __post_init__(self) -> None:
        if self.max_objects is not None and self.max_objects < 1:
            raise ValueError(f"Expected `max_objects` of 1 or more, or None for all, but got {self.max_objects}.")

    def __call__(self, sample: Sample, *, seed: Sequence[int] = (0,)) -> PreparedSample:
        """Prepares one sample.

        Args:
            sample: The source; it may have no objects.
            seed: Whole numbers that fix the choice of objects and the augmentation, such as (seed, epoch, index).
        """
        random = np.random.default_rng(list(seed))
        sample = _choose(sample, _visible(sample.masks))
        if self.augment is not None:
            sample = _augmented(sample, self.augment, seed=int(random.integers(2**31)))
        if self.max_objects is not None and len(sample.masks) > self.max_objects:
            chosen = np.sort(random.choice(len(sample.masks), self.max_objects, replace=False))
            sample = _choose(sample, torch.from_numpy(chosen))
        height, width = sample.image.shape[:2]
        frame = Frame((height, width), self.image_size)
        masks = frame.masks_to_frame(sample.masks)
        for lost in (~masks.flatten(1).any(dim=1)).nonzero().flatten().tolist():
            x, y = _middle_in_frame(sample.masks[lost], frame)
            masks[lost, y, x] = True
        ignored = None if sample.ignored is None else frame.masks_to_frame(sample.ignored[None])[0]
        return PreparedSample(image=frame.image_to_frame(sample.image), masks=masks, sample=sample, ignored=ignored)


class PreparedSamples(torch.utils.data.Dataset[PreparedSample]):
    """A data set as the workers of a `DataLoader` read it, without any state.

    Item `epoch * len(self) + index` is sample `index` as epoch `epoch` sees it: its randomness follows from
    (seed, epoch, index) alone. So any number of workers, persistent ones and a resumed run give the same batches;
    `sam_ft.data.order.EpochOrder` draws such indices.

    Args:
        samples: The sources.
        prepare: Brings them into the frame.
        seed: Another seed, other augmentations.
    """

    def __init__(self, samples: SampleDataset, prepare: Prepare, *, seed: int = 0) -> None:
        self.samples = samples
        self.prepare = prepare
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PreparedSample:
        if index < 0:
            raise IndexError(f"Expected an index of 0 or more, but got {index}.")
        epoch, item = divmod(index, len(self.samples))
        return self.prepare(self.samples[item], seed=(self.seed, epoch, item))

    def __iter__(self) -> Iterator[PreparedSample]:
        return (self[index] for index in range(len(self)))


def collate(prepared: Sequence[PreparedSample]) -> Batch:
    """B prepared samples -> a batch whose objects are padded to the largest count N, which may be 0.

    Raises:
        ValueError: No samples, or frames of different sizes.
    """
    sizes = {tuple(item.image.shape) for item in prepared}
    if len(sizes) != 1:
        raise ValueError(f"Expected samples in frames of one size, but got {sorted(sizes) or 'no samples'}.")
    num_objects = [len(item.masks) for item in prepared]
    images = torch.stack([item.image for item in prepared])  # (B, 3, S, S)
    masks = torch.zeros((len(prepared), max(num_objects), *images.shape[-2:]), dtype=torch.bool)  # (B, N, S, S)
    for row, item in zip(masks, prepared, strict=True):
        row[: len(item.masks)] = item.masks
    valid = torch.arange(max(num_objects)) < torch.tensor(num_objects)[:, None]  # (B, N)
    return Batch(
        images=images,
        masks=masks,
        valid=valid,
        samples=tuple(item.sample for item in prepared),
        ignored=_ignored(prepared),
    )


def whole_batches(
    samples: SampleDataset, *, image_size: int, batch_size: int = 4, num_workers: int = 0
) -> torch.utils.data.DataLoader[PreparedSample]:
    """Batches for measuring: every sample in order, with every object and without augmentation."""
    return torch.utils.data.DataLoader(
        PreparedSamples(samples, Prepare(image_size)),
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=num_workers,
    )


def _ignored(prepared: Sequence[PreparedSample]) -> Tensor | None:
    """(B, S, S) bool; None where no sample has anything to ignore."""
    if all(item.ignored is None for item in prepared):
        return None
    nothing = torch.zeros(prepared[0].image.shape[-2:], dtype=torch.bool)
    return torch.stack([nothing if item.ignored is None else item.ignored for item in prepared])


def _visible(masks: Tensor) -> Tensor:
    """(N, H, W) -> the indices of the masks that have a pixel."""
    return masks.flatten(1).any(dim=1).nonzero().flatten()


def _choose(sample: Sample, chosen: Tensor) -> Sample:
    """The sample with the objects at the indices `chosen` alone."""
    if len(chosen) == len(sample.masks):
        return sample
    names = tuple(sample.class_names[index] for index in chosen.tolist())
    return replace(sample, masks=sample.masks[chosen], class_names=names)


def _augmented(sample: Sample, augment: Augmentation, *, seed: int) -> Sample:
    layers = layers_of(sample.masks.numpy())
    num_layers, maps = len(layers.maps), layers.maps
    if sample.ignored is not None:
        maps = np.concatenate([maps, sample.ignored.numpy()[None].astype(np.uint8)])
    image, maps = augment(sample.image.numpy(), maps, seed=seed)
    changed = replace(
        sample,
        image=torch.from_numpy(np.ascontiguousarray(image)),
        masks=torch.from_numpy(replace(layers, maps=maps[:num_layers]).masks()),
        ignored=None if sample.ignored is None else torch.from_numpy(maps[-1] > 0),
        pixel_mm=None,  # no longer known after scaling
    )
    return _choose(changed, _visible(changed.masks))


def _middle_in_frame(mask: Tensor, frame: Frame) -> tuple[int, int]:
    """The pixel (x, y) of the frame that shows the mask's pixel nearest to its mean position."""
    pixels = mask.nonzero().double()  # (K, 2) rows and columns
    middle = pixels[(pixels - pixels.mean(dim=0)).square().sum(dim=1).argmin()]
    scale = torch.tensor(frame.input_size, dtype=torch.float64) / torch.tensor(frame.source_size)
    row, column = ((middle + 0.5) * scale).long().tolist()
    return column, row
