from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from sam_ft.data.labelled_images import LabelledImages
from sam_ft.data.medsam import volumes
from sam_ft.data.medsam.parts import medsam_splits
from sam_ft.data.nifti.writing import write_label_volume
from sam_ft.data.splits import GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.transforms import percentile_range, rescale, window

SPLIT = GroupSplit(val=["CT_Abd_b"], test=0)


def volume(seed: int = 0, *, colour: bool = False) -> dict[str, np.ndarray]:
    """What `pre_CT_MR.py` writes of a case: its slices with labels, 8 bits, SimpleITK's axes and spacing."""
    random = np.random.default_rng(seed)
    gts = np.zeros((4, 10, 12), np.uint8)
    gts[:, 1:5, 1:6], gts[1:, 6:9, 2:9] = 1, 5
    imgs = random.integers(0, 256, (*gts.shape, 3) if colour else gts.shape).astype(np.uint8)
    return {"imgs": imgs, "gts": gts, "spacing": np.array([0.8, 0.8, 2.5])}


def write_volumes(root: Path, **changes: np.ndarray) -> Path:
    for seed, name in enumerate("abc"):
        np.savez_compressed(root / f"CT_Abd_{name}.npz", **(volume(seed) | changes))
    return root


def test_axial_slices_of_a_volume_look_as_they_are_stored(tmp_path: Path) -> None:
    splits = medsam_splits(write_volumes(tmp_path), split=SPLIT)
    assert isinstance(splits.val, VolumeSlices) and len(splits.train) == 8 and splits.test is None
    stored = volume(1)
    for index, sample in enumerate(splits.val):
        assert sample.name == f"CT_Abd_b_axial_{index:03d}" and sample.pixel_mm == pytest.approx((0.8, 0.8))
        assert np.array_equal(sample.image.numpy(), np.repeat(stored["imgs"][index][..., None], 3, axis=-1))
        assert sample.class_names == (("label_1",) if index == 0 else ("label_1", "label_5"))
        for name, mask in zip(sample.class_names, sample.masks, strict=True):
            assert np.array_equal(mask.numpy(), stored["gts"][index] == int(name[-1]))


def test_other_axes_have_square_pixels(tmp_path: Path) -> None:
    coronal = medsam_splits(write_volumes(tmp_path), split=SPLIT, axis="coronal").val[0]
    assert coronal.image.shape == (round(4 * 2.5 / 0.8), 12, 3)


def test_predictions_are_written_on_the_grid_of_the_array(tmp_path: Path) -> None:
    val = medsam_splits(write_volumes(tmp_path), split=SPLIT).val
    assert isinstance(val, VolumeSlices)
    pictures = {entry.index: volume()["gts"][entry.index] for entry in val.entries}
    grid = val.volumes[val.entries[0].volume].grid
    written = nibabel.load(write_label_volume(tmp_path / "out" / "b.nii.gz", pictures, grid=grid))
    assert np.array_equal(np.asanyarray(written.dataobj), volume()["gts"].transpose(2, 1, 0))
    assert written.header.get_zooms() == pytest.approx((0.8, 0.8, 2.5))  # type: ignore[attr-defined]


def test_volumes_in_colour_keep_their_colours(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    np.savez_compressed(tmp_path / "CT_Abd_b.npz", **volume(7, colour=True))
    splits = medsam_splits(tmp_path, split=SPLIT)
    assert np.array_equal(splits.val[2].image.numpy(), volume(7, colour=True)["imgs"][2])
    grey = splits.train[0].image
    assert np.array_equal(grey.numpy(), np.repeat(volume(0)["imgs"][0][..., None], 3, axis=-1))


@pytest.mark.parametrize("dtype", [np.float16, np.int16, np.float64])
def test_numbers_of_more_than_8_bits_are_windowed(tmp_path: Path, dtype: type) -> None:
    imgs = np.random.default_rng(0).normal(0, 1000, (4, 10, 12)).astype(dtype)
    write_volumes(tmp_path, imgs=imgs)
    slabs = SlabSplit(val=(0.0, 0.25), gap_mm=0)
    shown = medsam_splits(tmp_path, split=slabs, window=(0, 500)).val[0].image[..., 0]
    assert np.array_equal(shown, window(imgs[0].astype(float), level=0, width=500))
    shown = medsam_splits(tmp_path, split=slabs).val[0].image[..., 0]
    low, high = percentile_range(imgs.astype(np.float32))
    assert np.abs(shown.numpy().astype(int) - rescale(imgs[0].astype(float), low=low, high=high)).max() <= 1


def test_an_array_is_inflated_once_for_all_its_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path, key: str) -> np.ndarray:
        read.append(f"{path.stem} {key}")
        return original(path, key)

    original = volumes.read_npz
    monkeypatch.setattr(volumes, "read_npz", counted)
    root = write_volumes(tmp_path)
    cache = SliceCache(folder=tmp_path / "cache")
    for _ in range(2):
        splits = medsam_splits(root, split=SPLIT, cache=cache)
        assert len(list(splits.train)) == 8 and len(list(splits.val)) == 4
    arrays_read = [name for name in read if "spacing" not in name]
    assert sorted(arrays_read) == sorted(f"CT_Abd_{name} {key}" for name in "abc" for key in ("imgs", "gts"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"gts": np.zeros((4, 10, 11), np.uint8)}, r"gts \(4, 10, 11\) and imgs \(4, 10, 12\)"),
        ({"gts": np.zeros((10,), np.uint8)}, "gts"),
        ({"imgs": np.zeros((4, 10, 12, 2), np.uint8)}, "with 3 channels"),
        ({"gts": np.full((4, 10, 12), 0.5)}, "integer labels"),
        ({"gts": np.full((4, 10, 12), -1)}, "labels of 0"),
        ({"spacing": np.ones(2)}, "spacing"),
        ({"spacing": np.array([1.0, 0.0, 1.0])}, "above 0"),
        ({"spacing": np.array([1.0, np.nan, 1.0])}, "above 0"),
        ({"gts": np.array([{"a": 1}], dtype=object)}, "never unpickled"),
        ({"imgs": np.array([None], dtype=object)}, "never unpickled"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_file(tmp_path: Path, changes: Any, message: str) -> None:
    write_volumes(tmp_path)
    np.savez(tmp_path / "CT_Abd_b.npz", **(volume() | changes))
    with pytest.raises(ValueError, match=message) as caught:
        medsam_splits(tmp_path, split=SPLIT)
    assert "CT_Abd_b.npz" in str(caught.value)


@pytest.mark.parametrize("key", ["imgs", "gts", "spacing"])
def test_a_missing_array_is_named(tmp_path: Path, key: str) -> None:
    write_volumes(tmp_path)
    np.savez(tmp_path / "CT_Abd_b.npz", **{name: array for name, array in volume().items() if name != key})
    with pytest.raises(ValueError, match=f"`{key}` in .*CT_Abd_b.npz"):
        medsam_splits(tmp_path, split=SPLIT)


def test_boxes_are_left_alone_even_as_python_objects(tmp_path: Path) -> None:
    write_volumes(tmp_path, boxes=np.array([{"z_mid": 3}], dtype=object))
    assert len(medsam_splits(tmp_path, split=SPLIT).train) == 8


def test_label_values_may_have_names(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    (tmp_path / "labels.json").write_text('{"background": 0, "liver": 1, "spleen": 5}')
    train = medsam_splits(tmp_path, split=SPLIT).train
    assert train[1].class_names == train.class_names == ("liver", "spleen")  # type: ignore[attr-defined]
    (tmp_path / "labels.json").write_text('{"liver": 1}')
    with pytest.raises(ValueError, match="labels.json names .*CT_Abd_a.npz, but got 5"):
        medsam_splits(tmp_path, split=SPLIT)


def test_folders_may_be_the_parts(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        (tmp_path / part).mkdir()
        np.savez(tmp_path / part / "a.npz", **volume(seed))
    splits = medsam_splits(tmp_path, split=GroupSplit(), empty=1.0)
    assert splits.test is not None and len(splits.train) == len(splits.val) == len(splits.test) == 4


GTS = np.zeros((8, 9), np.uint8)
GTS[1:5, 1:5], GTS[6:, 2:8] = 1, 2
RULE = ObjectRule(min_area_px=3)


def write_images(root: Path, **changes: np.ndarray) -> Path:
    (root / "Fundus").mkdir(parents=True)
    for seed, name in enumerate("abc"):
        imgs = np.random.default_rng(seed).integers(0, 256, (8, 9, 3)).astype(np.uint8)
        np.savez_compressed(root / "Fundus" / f"{name}.npz", **({"imgs": imgs, "gts": GTS} | changes))
    return root


def test_single_images_are_read_from_folders_inside(tmp_path: Path) -> None:
    boxes = np.array([[1, 1, 5, 5]])
    root = write_images(tmp_path, boxes=boxes, spacing=np.array([0.5, 0.25]))
    splits = medsam_splits(root, split=GroupSplit(val=["Fundus-b"], test=0), objects=RULE)
    assert isinstance(splits.val, LabelledImages) and splits.val.suited_augmentation == "medical"
    sample = splits.val[0]
    assert sample.name == "Fundus-b" and sample.pixel_mm == (0.25, 0.5) and sample.class_names == ("label_1", "label_2")
    assert np.array_equal(sample.image.numpy(), np.random.default_rng(1).integers(0, 256, (8, 9, 3)))
    assert torch.equal(sample.masks, torch.from_numpy(np.stack([GTS == 1, GTS == 2])))
    blank = splits.val.without_image(0)
    assert torch.equal(blank.masks, sample.masks) and blank.image.sum() == 0


def test_an_area_in_mm2_needs_the_size_of_a_pixel(tmp_path: Path) -> None:
    rule, split = ObjectRule(min_area_px=1, min_area_mm2=14 * 0.125), GroupSplit(val=["Fundus-b"], test=0)
    known = write_images(tmp_path / "known", spacing=np.array([0.5, 0.25]))
    assert medsam_splits(known, split=split, objects=rule).val[0].class_names == ("label_1",)
    with pytest.raises(ValueError, match="min_area_mm2.*a.npz"):
        medsam_splits(write_images(tmp_path / "unknown"), split=split, objects=rule)


def test_volumes_and_single_images_do_not_mix(tmp_path: Path) -> None:
    write_images(tmp_path)
    write_volumes(tmp_path)
    with pytest.raises(ValueError, match=r"a volume in .*CT_Abd_a.npz and an image in .*Fundus/a.npz"):
        medsam_splits(tmp_path, split=GroupSplit())


def write_pairs(root: Path, *, as_floats: bool = True) -> Path:
    for folder in ("imgs", "gts"):
        (root / folder).mkdir(parents=True)
    for volume_number in range(3):
        for index in range(2):
            name = f"MR_Brain_{volume_number:04d}-{index:03d}.npy"
            pixels = np.random.default_rng([volume_number, index]).integers(0, 256, (16, 16, 3)).astype(np.uint8)
            np.save(root / "imgs" / name, pixels / 255 if as_floats else pixels)
            np.save(root / "gts" / name, np.pad(GTS, ((0, 8), (0, 7))))
    return root


@pytest.mark.parametrize("as_floats", [True, False])
def test_slices_of_one_volume_in_pairs_of_files_stay_together(tmp_path: Path, as_floats: bool) -> None:
    root = write_pairs(tmp_path, as_floats=as_floats)
    splits = medsam_splits(root, split=GroupSplit(val=["MR_Brain_0001"], test=0), objects=RULE)
    assert [sample.name for sample in splits.val] == ["MR_Brain_0001-000", "MR_Brain_0001-001"]
    assert len(splits.train) == 4
    assert np.array_equal(splits.val[1].image.numpy(), np.random.default_rng([1, 1]).integers(0, 256, (16, 16, 3)))
    alone = medsam_splits(root, split=GroupSplit(val=0.5, test=0), group="([0-9-]+).npy", objects=RULE)
    assert len(alone.val) == 3


BOMB = np.array([print], dtype=object)


@pytest.mark.parametrize(
    "folder, array, message",
    [
        ("imgs", np.full((16, 16, 3), 255.0), "from 0 to 1 in .*but got 255"),
        ("imgs", np.full((16, 16, 3), np.nan), "from 0 to 1"),
        ("imgs", np.full((16, 16, 3), 7, np.int64), "uint8 or of numbers"),
        ("imgs", np.zeros((16, 16, 4), np.uint8), r"\(H, W, 3\)"),
        ("imgs", np.zeros((15, 16, 3), np.uint8), "of the size of its image"),
        ("imgs", BOMB, "never unpickled"),
        ("gts", BOMB, "never unpickled"),
        ("gts", np.zeros((16, 16, 1), np.uint8), "one channel"),
        ("gts", np.full((16, 16), 0.5), "fractions"),
        ("gts", np.full((16, 16), -1), "of 0 .background. and above"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_by_file(tmp_path: Path, folder: str, array: Any, message: str) -> None:
    root = write_pairs(tmp_path)
    np.save(root / folder / "MR_Brain_0001-000.npy", array)
    with pytest.raises(ValueError, match=message) as caught:
        medsam_splits(root, split=GroupSplit(val=["MR_Brain_0001"], test=0), objects=RULE).val[0]
    assert "MR_Brain_0001-000.npy" in str(caught.value)


def test_a_truncated_or_missing_file_of_a_pair_is_named(tmp_path: Path) -> None:
    root = write_pairs(tmp_path)
    label = root / "gts" / "MR_Brain_0001-000.npy"
    label.write_bytes(label.read_bytes()[:-1])
    with pytest.raises(ValueError, match="gts/MR_Brain_0001-000.npy.*ends after"):
        medsam_splits(root, split=GroupSplit(), objects=RULE)
    label.unlink()
    with pytest.raises(ValueError, match="imgs/MR_Brain_0001-000.npy has no label"):
        medsam_splits(root, split=GroupSplit(), objects=RULE)


def test_a_folder_of_neither_layout_or_of_both_is_refused(tmp_path: Path) -> None:
    for folder in ("empty", "both/imgs"):
        (tmp_path / folder).mkdir(parents=True)
    np.savez(tmp_path / "both" / "a.npz", **volume())
    for folder in ("empty", "both", "absent"):
        with pytest.raises(ValueError, match=f"either .npz archives or the folders imgs and gts in .*{folder}"):
            medsam_splits(tmp_path / folder, split=GroupSplit())


@pytest.mark.parametrize("setting", [{"axis": "coronal"}, {"window": (40, 400)}, {"crop": "foreground"}])
def test_settings_of_volumes_are_refused_for_single_images(tmp_path: Path, setting: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))} is of volumes"):
        medsam_splits(write_pairs(tmp_path), split=GroupSplit(), objects=RULE, **setting)
