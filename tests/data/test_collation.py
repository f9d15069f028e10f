from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sam_ft.data.augment import augmentation
from sam_ft.data.collation import Prepare, PreparedSamples, collate
from sam_ft.data.draws import EverySample
from sam_ft.data.order import EpochOrder
from sam_ft.data.synthetic import Synthetic
from sam_ft.types import Batch, Sample


def sample(num_objects: int, *, size: tuple[int, int] = (20, 40)) -> Sample:
    """Object k is column k of an otherwise empty mask."""
    masks = torch.zeros(num_objects, *size, dtype=torch.bool)
    for column in range(num_objects):
        masks[column, :, column] = True
    return Sample(
        image=torch.randint(0, 256, (*size, 3), dtype=torch.uint8),
        masks=masks,
        class_names=tuple(f"column{column}" for column in range(num_objects)),
        name="sample",
        pixel_mm=(1.0, 1.0),
    )


def test_ragged_objects_are_padded_and_marked() -> None:
    prepared = [Prepare(32)(sample(number)) for number in (2, 0, 5)]
    batch = collate(prepared)
    assert batch.images.shape == (3, 3, 32, 32) and batch.masks.shape == (3, 5, 32, 32)
    assert batch.valid.sum(dim=1).tolist() == [2, 0, 5]
    assert not batch.masks[~batch.valid].any() and batch.masks[batch.valid].flatten(1).any(dim=1).all()
    assert torch.equal(batch.masks[2], prepared[2].masks)
    assert [len(source.masks) for source in batch.samples] == [2, 0, 5]


def test_a_batch_without_any_object_is_legal() -> None:
    batch = collate([Prepare(32)(sample(0)), Prepare(32)(sample(0))])
    assert batch.masks.shape == (2, 0, 32, 32) and batch.valid.shape == (2, 0)


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        collate([Prepare(32)(sample(1)), Prepare(64)(sample(1))])
    with pytest.raises(ValueError, match="no samples"):
        collate([])


def test_masks_of_the_frame_are_in_the_order_of_the_source() -> None:
    prepared = Prepare(40, max_objects=4)(sample(12), seed=(3,))
    columns = [int(name.removeprefix("column")) for name in prepared.sample.class_names]
    assert len(columns) == 4 and columns == sorted(columns)
    for column, in_source, in_frame in zip(columns, prepared.sample.masks, prepared.masks, strict=True):
        assert in_source[:, column].all() and in_frame[:20, column].all() and in_frame.sum() == 20


def test_the_choice_of_objects_follows_the_seed_and_is_uniform() -> None:
    prepare = Prepare(16, max_objects=2)
    source = sample(5)
    assert prepare(source, seed=(1, 2)).sample.class_names == prepare(source, seed=(1, 2)).sample.class_names
    chosen = [name for seed in range(400) for name in prepare(source, seed=(seed,)).sample.class_names]
    counts = np.unique(chosen, return_counts=True)[1]
    assert len(counts) == 5 and abs(counts - 160).max() < 45  # binomial: 160, deviation 9.8


def test_objects_too_small_for_the_frame_keep_one_pixel_in_their_middle() -> None:
    masks = torch.zeros(3, 400, 200, dtype=torch.bool)
    masks[0, 101, 33] = True  # lies between the sampled pixel centres
    masks[1, 399, 199] = True
    masks[2, 100:300, 50:150] = True
    source = Sample(torch.zeros(400, 200, 3, dtype=torch.uint8), masks, ("a", "b", "c"), "small")
    prepared = Prepare(32)(source)
    assert prepared.masks.flatten(1).sum(dim=1)[:2].tolist() == [1, 1]
    assert prepared.masks[0, 8, 2] and prepared.masks[1, 31, 15]


def test_objects_without_a_pixel_are_dropped() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[1, 2, 2] = True
    source = Sample(torch.zeros(8, 8, 3, dtype=torch.uint8), masks, ("empty", "full"), "holes")
    assert Prepare(16)(source).sample.class_names == ("full",)


def test_augmented_masks_stay_on_their_objects() -> None:
    source = next(sample for sample in Synthetic(20, image_size=96) if len(sample.masks) == 1)
    painted = torch.where(source.masks[0][..., None], 255, 0).expand(-1, -1, 3).to(torch.uint8)
    source = Sample(painted, source.masks[:1], ("shape",), "painted", (1.0, 1.0))
    for seed in range(20):
        prepared = Prepare(96, augment=augmentation("medical"))(source, seed=(seed,))
        bright = prepared.sample.image[..., 0] > 110
        mask = prepared.sample.masks[0]
        assert (bright & mask).sum() / (bright | mask).sum() > 0.9
        assert prepared.sample.pixel_mm is None


def test_ignored_pixels_are_augmented_like_the_image_and_brought_into_the_frame() -> None:
    source = Synthetic(1, image_size=32)[0]
    painted = torch.where(source.masks[0][..., None], 255, 0).expand(-1, -1, 3).to(torch.uint8)
    source = replace(source, image=painted, ignored=source.masks[0])
    flip = next(
        prepared
        for prepared in (Prepare(32, augment=augmentation("light"))(source, seed=(seed,)) for seed in range(20))
        if not torch.equal(prepared.sample.ignored, source.ignored)
    )
    assert torch.equal(flip.sample.ignored, flip.sample.image[..., 0] > 110)
    assert torch.equal(flip.ignored, flip.sample.ignored) and len(flip.masks) == len(source.masks)


def test_an_image_without_objects_can_be_augmented() -> None:
    prepared = Prepare(32, augment=augmentation("light"))(sample(0))
    assert prepared.masks.shape == (0, 32, 32)


def loaded(num_workers: int, *, epochs: int = 2) -> list[Batch]:
    prepare = Prepare(32, augment=augmentation("light"), max_objects=2)
    dataset = PreparedSamples(Synthetic(6, image_size=32), prepare, seed=5)
    order = EpochOrder(EverySample(len(dataset)), seed=5)
    loader = DataLoader(
        dataset, batch_size=2, sampler=order, collate_fn=collate, num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )  # fmt: skip
    batches = []
    for epoch in range(epochs):
        order.set_epoch(epoch)
        batches += list(loader)
    return batches


def test_workers_give_the_same_batches_as_none_in_every_epoch() -> None:
    alone, shared = loaded(0), loaded(2)
    assert len(alone) == len(shared) == 6
    for first, second in zip(alone, shared, strict=True):
        assert torch.equal(first.images, second.images) and torch.equal(first.masks, second.masks)


def test_every_epoch_sees_every_sample_augmented_anew() -> None:
    batches = loaded(0)
    by_epoch = [{source.name: source.image for batch in part for source in batch.samples} for part in
                (batches[:3], batches[3:])]  # fmt: skip
    assert by_epoch[0].keys() == by_epoch[1].keys() and len(by_epoch[0]) == 6
    assert any(not torch.equal(by_epoch[0][name], by_epoch[1][name]) for name in by_epoch[0])


def test_iterating_prepared_samples_ends_after_one_epoch() -> None:
    assert len(list(PreparedSamples(Synthetic(3, image_size=32), Prepare(32)))) == 3


def test_order_is_a_new_permutation_in_every_epoch_shared_among_replicas() -> None:
    orders = [EpochOrder(EverySample(11), seed=1, num_replicas=2, rank=rank) for rank in (0, 1)]
    for order in orders:
        order.set_epoch(3)
    first, second = (list(order) for order in orders)
    assert len(first) == len(second) == len(orders[0]) == 5 and not set(first) & set(second)
    assert all(33 <= index < 44 for index in first + second)
    whole = EpochOrder(EverySample(11), seed=1)
    assert sorted(whole) == list(range(11)) and list(whole) == list(whole)
    before = [index % 11 for index in whole]
    whole.set_epoch(1)
    assert [index % 11 for index in whole] != before


def test_fewer_samples_than_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="1 samples, 2 replicas"):
        EpochOrder(EverySample(1), num_replicas=2)


def test_a_limit_of_no_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="max_objects"):
        Prepare(32, max_objects=0)
