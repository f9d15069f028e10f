from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.augment import augmentation
from sam_ft.data.classes import class_names_of
from sam_ft.data.collation import Prepare, PreparedSamples, collate
from sam_ft.data.drawing import drawing_of
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.mixture import MixtureSamples, SetPart, mixture_splits, set_names_of
from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.phantoms import Phantoms
from sam_ft.data.splits import DataSplits, GroupSplit, SampleDataset
from sam_ft.data.synthetic import Synthetic
from sam_ft.data.volumes.objects import ObjectRule

Sets = dict[str, DataSplits]


@pytest.fixture
def sets() -> Sets:
    return {
        "shapes": Synthetic.splits(4, num_val=2, num_test=1, image_size=64),
        "bodies": Phantoms.splits(6, num_val=3, image_size=64),
    }


def mixture(samples: SampleDataset | None) -> MixtureSamples:
    assert isinstance(samples, MixtureSamples)
    return samples


def test_a_mixture_has_the_samples_of_all_sets_with_the_names_of_these(sets: Sets) -> None:
    train = mixture(mixture_splits(sets).train)
    assert len(train) == 10 and train.set_names == set_names_of(train) == ("shapes", "bodies")
    for index, (name, own) in enumerate([*(("shapes", n) for n in range(4)), *(("bodies", n) for n in range(6))]):
        expected, found = sets[name].train[own], train[index]
        assert train.place_of(index) == (name, own)
        assert (found.set_name, found.name) == (name, f"{name}-{expected.name}")
        assert torch.equal(found.image, expected.image) and torch.equal(found.masks, expected.masks)
    assert len({sample.name for sample in train}) == 10
    for index in (-1, 10):
        with pytest.raises(IndexError):
            train[index]


def test_validation_and_test_are_those_of_the_sets(sets: Sets) -> None:
    splits = mixture_splits(sets, weights={"shapes": 0, "bodies": 1})
    assert [sample.set_name for sample in mixture(splits.val)] == ["shapes"] * 2 + ["bodies"] * 3
    assert [sample.set_name for sample in mixture(splits.test)] == ["shapes"]  # bodies has no test part
    assert {sample.set_name for sample in mixture(splits.train)} == {"bodies"}
    assert mixture_splits({"bodies": sets["bodies"]}).test is None


@pytest.mark.parametrize(
    "weights, epoch_images, expected",
    [
        (None, None, {"shapes": 4, "bodies": 6}),
        ({"shapes": 1, "bodies": 1}, None, {"shapes": 5, "bodies": 5}),
        ({"shapes": 3, "bodies": 1}, 100, {"shapes": 75, "bodies": 25}),
        ({"shapes": 0, "bodies": 0.5}, None, {"bodies": 6}),
    ],
)
def test_an_epoch_draws_from_the_sets_by_weight(
    sets: Sets,
    weights: dict[str, float] | None,
    epoch_images: int | None,
    expected: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        train = mixture(mixture_splits(sets, weights=weights, epoch_images=epoch_images).train)
    draws = drawing_of(train).draws
    assert len(draws) == sum(expected.values())
    assert f"an epoch draws {len(draws)} images: " in caplog.text
    for epoch in range(5):
        drawn = [train.place_of(int(draw) % len(train))[0] for draw in draws(epoch, seed=0)]
        assert {name: drawn.count(name) for name in dict.fromkeys(sorted(drawn, reverse=True))} == expected


def test_a_sample_that_is_drawn_again_is_augmented_anew_and_reproducibly(sets: Sets) -> None:
    """Also within an epoch, of which 40 draws are of 4 images."""
    train = mixture_splits(sets, weights={"shapes": 1, "bodies": 0}, epoch_images=40).train
    prepared = PreparedSamples(train, Prepare(64, augment=augmentation("medical")), seed=3)
    draws = drawing_of(train).draws(1, seed=3).tolist()
    first = [prepared[draw] for draw in draws]
    again = {draw: prepared[draw] for draw in reversed(draws)}
    for draw, item in zip(draws, first, strict=True):
        assert item.image is not None and torch.equal(item.image, again[draw].image)  # type: ignore[arg-type]
    of_one = [item.image for draw, item in zip(draws, first, strict=True) if draw % len(train) == 2]
    assert len(of_one) == 10
    assert not any(torch.equal(one, other) for i, one in enumerate(of_one) for other in of_one[:i])  # type: ignore[arg-type]


def test_class_names_are_merged_in_the_order_of_the_sets(sets: Sets) -> None:
    train = mixture(mixture_splits(sets).train)
    assert class_names_of(train)[:3] == class_names_of(sets["shapes"].train)
    assert set(class_names_of(train)) == {name for part in sets.values() for name in class_names_of(part.train)}
    twice = MixtureSamples({"a": SetPart(sets["shapes"].train), "b": SetPart(sets["shapes"].val)})
    assert len(class_names_of(twice)) == len(set(class_names_of(twice)))
    known = Synthetic(2, image_size=32)
    known.class_names = ("road", "polygon")  # type: ignore[attr-defined]
    told = class_names_of(MixtureSamples({"a": SetPart(known), "b": SetPart(sets["shapes"].train)}))
    assert told[:2] == ("road", "polygon") and told.count("polygon") == 1


def test_what_a_sample_holds_is_found_without_its_image(tmp_path: Path, sets: Sets) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / kind / "a.png")
    files = ImageMaskFolder(tmp_path / "images", tmp_path / "labels", class_name="cell")
    both = MixtureSamples({"files": SetPart(files), "shapes": SetPart(sets["shapes"].train)})
    blank, drawn = both.without_image(0), both.without_image(1)
    assert not blank.image.any() and both[0].image.any() and torch.equal(blank.masks, both[0].masks)
    assert (blank.name, blank.set_name, both.classes_at(0)) == ("files-a", "files", ("cell",))
    assert torch.equal(drawn.image, both[1].image)  # of a set that draws its images


def test_each_set_has_the_preparation_that_is_its_own(sets: Sets) -> None:
    train = mixture_splits(sets).train
    prepared = PreparedSamples(train, Prepare(64), prepare_sets={"bodies": Prepare(64, augment=augmentation("light"))})
    assert prepared.is_random and not PreparedSamples(train, Prepare(64)).is_random
    assert prepared.prepare_of(3).augment is None and prepared.prepare_of(4).augment is not None
    rounds = [[prepared[epoch * 10 + item].image for epoch in range(4)] for item in (3, 4)]
    same = [all(torch.equal(each, images[0]) for each in images) for images in rounds]  # type: ignore[arg-type]
    assert same == [True, False]


def test_slices_without_objects_are_drawn_from_a_set_of_volumes(nifti: Any, sets: Sets) -> None:
    label = np.zeros((32, 32, 20), dtype=np.uint8)
    label[4:20, 4:20, 5:10] = 1
    for case in "abcd":
        nifti.save_case(case, label)
    scans = nifti_splits(
        *nifti.patterns, split=GroupSplit(val=0.25, test=0.0), empty=0.5, objects=ObjectRule(classes={"organ": 1})
    )
    splits = mixture_splits({"shapes": sets["shapes"], "scans": scans}, weights={"shapes": 1, "scans": 2})
    train = mixture(splits.train)
    assert class_names_of(train)[-1] == "organ"
    draws = drawing_of(train).draws
    seen = [train[int(draw) % len(train)] for draw in draws(0, seed=0)]
    empty = [sample for sample in seen if not len(sample.masks)]
    assert empty and {sample.set_name for sample in empty} == {"scans"}
    batch = collate([Prepare(32)(sample) for sample in [*empty[:1], seen[0]]])
    assert not batch.valid[0].any()


@pytest.mark.parametrize(
    "names, settings, reason",
    [
        ((), {}, "at least one set"),
        (("a-b",), {}, "letters, digits and _ alone, but got 'a-b'"),
        (("a", "b"), {"weights": {"a": 1}}, r"of each of the sets \(a, b\), but got those of \['a'\]"),
        (("a", "b"), {"weights": {"a": 1, "b": 1, "c": 2}}, "each of the sets"),
        (("a", "b"), {"weights": {"a": 1, "b": -1}}, "weight of 0 or more of b, but got -1"),
        (("a", "b"), {"weights": {"a": 1, "b": "2"}}, "weight of 0 or more of b, but got '2'"),
        (("a", "b"), {"weights": {"a": 1, "b": float("nan")}}, "weight of 0 or more of b"),
        (("a", "b"), {"weights": {"a": 0, "b": 0}}, "above 0 of at least one set"),
        (("a", "b"), {"weights": {"a": 1000, "b": 1}}, "none is from b: give a larger `epoch_images`"),
        (("a", "b"), {"epoch_images": 0}, "`epoch_images` to be a whole number of at least 1"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(
    names: Sequence[str], settings: dict[str, Any], reason: str, sets: Sets
) -> None:
    with pytest.raises(ValueError, match=reason):
        mixture_splits(dict.fromkeys(names, sets["shapes"]), **settings)


def test_a_set_that_is_no_data_set_or_a_mixture_is_refused(sets: Sets) -> None:
    with pytest.raises(ValueError, match="data set of name a"):
        mixture_splits({"a": {"root": "x"}})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no mixtures themselves, but a is one"):
        mixture_splits({"a": mixture_splits(sets)})
