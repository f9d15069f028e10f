"""From samples to batches: cut a window, augment, choose objects, bring into the frame, pad ragged object counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_ft.data.augment import Augmentation
from sam_ft.data.embedding_cache.cached import CachedEmbeddings
from sam_ft.data.layers import layers_of
from sam_ft.data.measurable import MeasurableBatches, MeasurableSamples, expect_measurable
from sam_ft.data.mixture import MixtureSamples
from sam_ft.data.splits import SampleDataset, without_image
from sam_ft.data.windows import RandomWindow
from sam_ft.masks.areas import mask_areas
from sam_ft.transforms import Frame
from sam_ft.types import Batch, ImageEmbedding, Sample


@dataclass(frozen=True)
class PreparedSample:
    """One sample in the model's frame, and the source it shows."""

    image: Tensor | None  # (3, S, S) float32, normalised, zero in the padding; None where there is an embedding
    masks: Tensor  # (N, S, S) bool, in the order of `sample.masks`
    sample: Sample  # after the choice of objects and the augmentation
    ignored: Tensor | None = None  # (S, S) bool
    embedding: ImageEmbedding | None = None  # of the image, B = 1


@dataclass(frozen=True)
class Prepare:
    """Brings samples into the model's frame, in training after augmentation.

    Objects without a pixel (out of sight after augmentation) are dropped. An object that is too small for the
    frame's resolution keeps the one pixel nearest to its middle, so that every object can be prompted and none
    escapes a measurement.

    Args:
        image_size: Side of the frame in pixels.
        window: The part of the image that is seen; None for all of it.
        augment: Applied to image and masks together; None for none.
        max_objects: More objects in sight than these are thinned out at random; None keeps all.
        class_repeats: Class -> how rare it is; of more objects than `max_objects` those of the rarest classes are
            kept, and between those of one rarity, such as that of all common classes, chance decides. See
            `sam_ft.data.balance`.
    """

    image_size: int
    window: RandomWindow | None = None
    augment: Augmentation | None = None
    max_objects: int | None = None
    class_repeats: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_objects is not None and self.max_objects < 1:
            raise ValueError(f"Expected `max_objects` of 1 or more, or None for all, but got {self.max_objects}.")

    @property
    def is_random(self) -> bool:
        """Whether what is seen of an image depends on the seed."""
        return self.window is not None or self.augment is not None

    def __call__(
        self,
        sample: Sample,
        *,
        seed: Sequence[int] = (0,),
        view: Sequence[int] | None = None,
        embedding: ImageEmbedding | None = None,
    ) -> PreparedSample:
        """Prepares one sample.

        Args:
            sample: The source; it may have no objects.
            seed: Whole numbers that fix the window, the augmentation and the choice of objects, such as
                (seed, epoch, index).
            view: Others that fix the window and the augmentation in place of `seed`, which is left with the choice
                of objects. None, or `seed` itself: all are drawn from one stream.
            embedding: Of what the sample shows, instead of which the image is left out.
        """
        random = np.random.default_rng(list(seed))
        seen = random if view is None or list(view) == list(seed) else np.random.default_rng(list(view))
        sample = _choose(sample, _visible(sample.masks))
        if self.window is not None:
            sample = self.window(sample, seen)
        if self.augment is not None:
            sample = self._augmented(sample, self.augment, seen, random)
        else:
            sample = _choose(sample, self._thinned(torch.arange(len(sample.masks)), sample.class_names, random))
        height, width = sample.image.shape[:2]
        frame = Frame((height, width), self.image_size)
        masks = frame.masks_to_frame(sample.masks)
        for lost in (mask_areas(masks) == 0).nonzero().flatten().tolist():
            x, y = _middle_in_frame(sample.masks[lost], frame)
            masks[lost, y, x] = True
        ignored = None if sample.ignored is None else frame.masks_to_frame(sample.ignored[None])[0]
        image = frame.image_to_frame(sample.image) if embedding is None else None
        return PreparedSample(image=image, masks=masks, sample=sample, ignored=ignored, embedding=embedding)

    def _augmented(
        self, sample: Sample, augment: Augmentation, seen: np.random.Generator, random: np.random.Generator
    ) -> Sample:
        """The sample after augmentation (by `seen`), with objects chosen (by `random`) from those still in sight."""
        layers = layers_of(sample.masks.numpy())
        num_layers, maps = len(layers.maps), layers.maps
        if sample.ignored is not None:
            maps = np.concatenate([maps, sample.ignored.numpy()[None].astype(np.uint8)])
        image, maps = augment(sample.image.numpy(), maps, seed=int(seen.integers(2**31)))
        layers = replace(layers, maps=maps[:num_layers])
        in_sight = torch.from_numpy(layers.areas()).nonzero().flatten()
        chosen = self._thinned(in_sight, sample.class_names, random)
        return replace(
            sample,
            image=torch.from_numpy(np.ascontiguousarray(image)),
            masks=torch.from_numpy(layers.masks(chosen.tolist())),
            class_names=tuple(sample.class_names[index] for index in chosen.tolist()),
            ignored=None if sample.ignored is None else torch.from_numpy(maps[-1] > 0),
            pixel_mm=None,  # no longer known after scaling
        )

    def _thinned(self, indices: Tensor, class_names: Sequence[str], random: np.random.Generator) -> Tensor:
        """At most `max_objects` of the objects, in their order."""
        if self.max_objects is None or len(indices) <= self.max_objects:
            return indices
        if not self.class_repeats:
            return indices[np.sort(random.choice(len(indices), self.max_objects, replace=False))]
        rarity = np.array([self.class_repeats.get(class_names[index], 1.0) for index in indices.tolist()])
        rarest_first = np.lexsort([random.random(len(indices)), -rarity])
        return indices[np.sort(rarest_first[: self.max_objects])]


class PreparedSamples(torch.utils.data.Dataset[PreparedSample]):
    """A data set as the workers of a `DataLoader` read it, without any state.

    Item `epoch * len(self) + index` is sample `index` as epoch `epoch` sees it: its randomness follows from
    (seed, epoch, index) alone. So any number of workers, persistent ones and a resumed run give the same batches;
    `sam_ft.data.order.EpochOrder` draws such indices. In a mixture, whose sets have passes of their own, the epoch is
    the round that `sam_ft.data.draws` counts.

    Args:
        samples: The sources.
        prepare: Brings them into the frame.
        seed: Another seed, other augmentations.
        prepare_sets: Of a mixture, the name of a set -> what brings its samples into the frame; None: `prepare`.

    Attributes:
        embeddings: Of V views of every sample, instead of their images; epoch e sees view e % V, that is what epoch
            e % V would see without. None: the images themselves.
    """

    def __init__(
        self,
        samples: SampleDataset,
        prepare: Prepare,
        *,
        seed: int = 0,
        prepare_sets: Mapping[str, Prepare] | None = None,
    ) -> None:
        self.samples = samples
        self.prepare = prepare
        self.seed = seed
        self.prepare_sets = dict(prepare_sets or {})
        self.embeddings: CachedEmbeddings | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> PreparedSample:
        if index < 0:
            raise IndexError(f"Expected an index of 0 or more, but got {index}.")
        epoch, item = divmod(index, len(self.samples))
        seed = (self.seed, epoch, item)
        if self.embeddings is None:
            return self.prepare_of(item)(self.samples[item], seed=seed)
        number = epoch % self.embeddings.num_views
        view, embedding = (self.seed, number, item), self.embeddings(number, item)
        return self.prepare_of(item)(self._without_image(item), seed=seed, view=view, embedding=embedding)

    @property
    def is_random(self) -> bool:
        """Whether what is seen of any image depends on the seed."""
        return any(prepare.is_random for prepare in (self.prepare, *self.prepare_sets.values()))

    def prepare_of(self, item: int) -> Prepare:
        """What brings a sample into the frame."""
        if not self.prepare_sets or not isinstance(self.samples, MixtureSamples):
            return self.prepare
        return self.prepare_sets.get(self.samples.place_of(item)[0], self.prepare)

    def _without_image(self, item: int) -> Sample:
        """A sample of which the image is not read where its data set can do that, and no augmentation looks at it."""
        is_looked_at = self.prepare_of(item).augment is not None
        return self.samples[item] if is_looked_at else without_image(self.samples, item)

    def __iter__(self) -> Iterator[PreparedSample]:
        return (self[index] for index in range(len(self)))


def collate(prepared: Sequence[PreparedSample]) -> Batch:
    """B prepared samples -> a batch whose objects are padded to the largest count N, which may be 0.

    Raises:
        ValueError: No samples, frames of different sizes, or images beside embeddings.
    """
    sizes = {tuple(item.masks.shape[1:]) for item in prepared}
    if len(sizes) != 1:
        raise ValueError(f"Expected samples in frames of one size, but got {sorted(sizes) or 'no samples'}.")
    num_objects = [len(item.masks) for item in prepared]
    images = [item.image for item in prepared if item.image is not None]
    embeddings = [item.embedding for item in prepared if item.embedding is not None]
    if images and embeddings:
        raise ValueError("Expected either the images or the embeddings of all samples, but got some of both.")
    masks = torch.zeros((len(prepared), max(num_objects), *sizes.pop()), dtype=torch.bool)  # (B, N, S, S)
    for row, item in zip(masks, prepared, strict=True):
        row[: len(item.masks)] = item.masks
    valid = torch.arange(max(num_objects)) < torch.tensor(num_objects)[:, None]  # (B, N)
    return Batch(
        images=torch.stack(images) if images else None,  # (B, 3, S, S)
        masks=masks,
        valid=valid,
        samples=tuple(item.sample for item in prepared),
        ignored=_ignored(prepared),
        embedding=_stacked(embeddings) if embeddings else None,
    )


def whole_batches(
    samples: SampleDataset, *, image_size: int, batch_size: int = 4, num_workers: int = 0
) -> MeasurableBatches:
    """Batches for measuring: every sample in order, with every object and without augmentation.

    Raises:
        ValueError: Two images have one name, or an object has no pixel; of samples that are not in memory, when they
            are read.
    """
    expect_measurable(samples)
    loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
        PreparedSamples(MeasurableSamples(samples), Prepare(image_size)),
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=num_workers,
    )
    return MeasurableBatches(loader)


def _stacked(embeddings: Sequence[ImageEmbedding]) -> ImageEmbedding:
    """Embeddings of one image each as one of B images."""
    others = zip(*(each.high_resolution for each in embeddings), strict=True)
    return ImageEmbedding(
        features=torch.cat([each.features for each in embeddings]),  # (B, C, h, w)
        high_resolution=tuple(torch.cat(tensors) for tensors in others),
    )


def _ignored(prepared: Sequence[PreparedSample]) -> Tensor | None:
    """(B, S, S) bool; None where no sample has anything to ignore."""
    if all(item.ignored is None for item in prepared):
        return None
    nothing = torch.zeros(prepared[0].masks.shape[1:], dtype=torch.bool)
    return torch.stack([nothing if item.ignored is None else item.ignored for item in prepared])


def _visible(masks: Tensor) -> Tensor:
    """(N, H, W) -> the indices of the masks that have a pixel."""
    return mask_areas(masks).nonzero().flatten()


def _choose(sample: Sample, chosen: Tensor) -> Sample:
    """The sample with the objects at the indices `chosen` alone."""
    if len(chosen) == len(sample.masks):
        return sample
    names = tuple(sample.class_names[index] for index in chosen.tolist())
    return replace(sample, masks=sample.masks[chosen], class_names=names)


def _middle_in_frame(mask: Tensor, frame: Frame) -> tuple[int, int]:
    """The pixel (x, y) of the frame that shows the mask's pixel nearest to its mean position."""
    pixels = mask.nonzero().double()  # (K, 2) rows and columns
    middle = pixels[(pixels - pixels.mean(dim=0)).square().sum(dim=1).argmin()]
    scale = torch.tensor(frame.input_size, dtype=torch.float64) / torch.tensor(frame.source_size)
    row, column = ((middle + 0.5) * scale).long().tolist()
    return column, row
