from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sam_ft.data.balance import ClassBalance
from sam_ft.data.mixture import mixture_splits
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule


def module(splits: DataSplits, *, seed: int = 0, **settings: Any) -> SamDataModule:
    return SamDataModule(splits, image_size=64, settings=LoaderSettings(**settings), seed=seed)


def names(data: SamDataModule, *, epoch: int = 0) -> list[tuple[str, ...]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [tuple(sample.name for sample in batch.samples) for batch in loader]  # type: ignore[attr-defined]


def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own(splits: DataSplits) -> None:
    data = module(splits, batch_size=1)
    epochs = [[name for batch in names(data, epoch=epoch) for name in batch] for epoch in range(6)]
    assert all(sorted(epoch) == [f"synthetic_{index:05d}" for index in range(4)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_order_follows_from_the_seed(splits: DataSplits) -> None:
    orders = [names(module(splits, batch_size=4, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert any(order != orders[0] for order in orders[2:])


def test_an_incomplete_batch_is_left_out_where_there_are_complete_ones(splits: DataSplits) -> None:
    assert [len(batch) for batch in names(module(splits, batch_size=3))] == [3]
    assert [len(batch) for batch in names(module(splits, batch_size=5))] == [4]


def test_training_thins_objects_out_and_validation_keeps_all() -> None:
    data = module(Synthetic.splits(6, num_val=6, image_size=64), batch_size=6, eval_batch_size=4, max_objects=2)
    (batch,) = data.train_dataloader()
    assert batch.masks.shape[1] == 2  # type: ignore[attr-defined]
    counted = [int(count) for batch in data.val_dataloader() for count in batch.valid.sum(1)]  # type: ignore[attr-defined]
    assert counted == [len(sample.masks) for sample in data.splits.val]  # type: ignore[attr-defined]
    assert max(counted) > 2


def test_validation_is_not_augmented_and_training_is() -> None:
    same = Synthetic(4, image_size=64)
    data = module(DataSplits(train=same, val=same), batch_size=4, eval_batch_size=4, augment="light")
    (trained,), (validated,) = data.train_dataloader(), data.val_dataloader()
    plain = {sample.name: sample.image for sample in same}
    assert all(torch.equal(sample.image, plain[sample.name]) for sample in validated.samples)  # type: ignore[attr-defined]
    assert any(not torch.equal(sample.image, plain[sample.name]) for sample in trained.samples)  # type: ignore[attr-defined]


def of_sets(**settings: Any) -> SamDataModule:
    sets = {name: Synthetic.splits(3, num_val=1, image_size=64, seed=seed) for seed, name in enumerate("ab")}
    return module(mixture_splits(sets, weights={"a": 1, "b": 4}, epoch_images=10), **settings)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mixture_is_drawn_by_weight(workers: int) -> None:
    data = of_sets(batch_size=5, num_workers=workers)
    for epoch in range(3):
        drawn = [name for batch in names(data, epoch=epoch) for name in batch]
        assert sorted(name[0] for name in drawn) == ["a"] * 2 + ["b"] * 8


def test_ranks_share_the_draws_of_a_mixture_and_none_is_in_two() -> None:
    parts = []
    for rank in (0, 1):
        data = of_sets(batch_size=1)
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)  # type: ignore[assignment]
        parts.append(list(data.train_dataloader().sampler))  # type: ignore[call-overload]
    assert len(parts[0]) == len(parts[1]) == 5 and len({*parts[0], *parts[1]}) == 10


def test_a_mixture_goes_on_within_an_epoch_with_the_same_batches() -> None:
    whole, resumed = of_sets(batch_size=2, augment="light"), of_sets(batch_size=2, augment="light")
    resumed.load_state_dict({"epoch": 2, "batches_done": 3})
    loader = whole.train_dataloader()
    loader.sampler.set_epoch(2)  # type: ignore[attr-defined]
    expected, found = list(loader)[3:], list(resumed.train_dataloader())
    assert len(found) == len(expected) == 2
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.masks, other.masks)  # type: ignore[attr-defined]


def test_automatic_augmentation_of_a_mixture_is_that_of_each_set() -> None:
    class Slices(Synthetic):
        suited_augmentation = "none"

    sets = {
        "slices": Slices.splits(2, num_val=1, image_size=64),
        "shapes": Synthetic.splits(2, num_val=1, image_size=64),
    }
    data = module(mixture_splits(sets), augment="auto")
    augments = [data.train_samples.prepare_of(item).augment for item in range(4)]
    assert augments[:2] == [None, None] and None not in augments[2:]
    by_name = module(mixture_splits(sets), augment="light")
    assert None not in [by_name.train_samples.prepare_of(item).augment for item in range(4)]


def test_a_balance_decides_what_is_drawn_and_what_is_kept() -> None:
    splits = Synthetic.splits(20, num_val=1, image_size=64)
    data = module(splits, balance=ClassBalance(power=2, rare_below=1, most=5), max_objects=1)
    repeats = data.train_samples.prepare.class_repeats
    rarest = max(repeats, key=lambda name: repeats[name])
    assert repeats[rarest] > 1
    drawn = [sample for batch in data.train_dataloader() for sample in batch.samples]  # type: ignore[attr-defined]
    plain = [rarest in sample.class_names for sample in splits.train]  # type: ignore[attr-defined]
    assert len(drawn) == 20
    assert sum(sample.class_names == (rarest,) for sample in drawn) > sum(plain)


def test_automatic_augmentation_is_what_the_data_set_names() -> None:
    class Slices(Synthetic):
        suited_augmentation = "none"

    settings = LoaderSettings(augment="auto")
    assert settings.augmentation_of(Slices(1)) is None
    assert settings.augmentation_of(Synthetic(1)) is not None
    assert NiftiSlices.suited_augmentation == "medical"


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"eval_batch_size": 0},
        {"num_workers": -1},
        {"max_objects": 0},
        {"augment": "strong"},
        {"balance": "sqrt"},
    ],
)
def test_settings_out_of_range_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LoaderSettings(**wrong)
