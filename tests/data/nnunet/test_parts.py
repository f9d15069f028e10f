from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.class_maps import IGNORED, class_map
from sam_ft.data.labelled_images import LabelledImages
from sam_ft.data.nnunet.folds import NnunetFold
from sam_ft.data.nnunet.parts import nnunet_splits
from sam_ft.data.splits import GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slices import VolumeSlices

CHANNELS = {"0": "T2", "1": "ADC"}
REGIONS = {"background": 0, "prostate": [1, 2], "TZ": 2, "ignore": 3}
SPLIT = GroupSplit(val=["prostate_02"], test=0)


def write_volumes(nifti: Any, *, ending: str = ".nii.gz", **changes: Any) -> Path:
    """Three training cases of two channels, which shine at labels 1 and 2."""
    root: Path = nifti.folder / "Dataset005_Prostate"
    for seed, name in enumerate(["prostate_00", "prostate_02", "prostate_16"]):
        write_volume(nifti, root.name, name, seed=seed, ending=ending)
    described = {"channel_names": CHANNELS, "labels": REGIONS, "numTraining": 3, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(described | changes))
    return root


def write_volume(nifti: Any, folder: str, name: str, *, seed: int, part: str = "Tr", ending: str = ".nii.gz") -> None:
    label = np.zeros((12, 10, 4), np.uint8)
    label[1:5, 1:5, 1:3], label[5:9, 1:5, 1:3], label[9:, 7:, 1:3] = 1, 2, 3
    for channel in (0, 1):
        image = np.random.default_rng([seed, channel]).integers(1, 40, label.shape) + 900 * (label == channel + 1)
        nifti.save(f"{folder}/images{part}/{name}_{channel:04d}{ending}", image.astype(np.int16))
    nifti.save(f"{folder}/labels{part}/{name}{ending}", label)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_channels_regions_and_the_ignore_label_are_those_of_the_description(nifti: Any, ending: str) -> None:
    splits = nnunet_splits(write_volumes(nifti, ending=ending), split=SPLIT, channels=["T2", "ADC", "T2"])
    assert isinstance(splits.val, VolumeSlices) and splits.val.class_names == ("prostate", "TZ") and splits.test is None
    assert len(splits.train) == 4 and len(splits.val) == 2
    sample = splits.val[0]
    assert sample.name == "prostate_02_axial_001" and sample.class_names == ("prostate", "TZ")
    prostate, transition = sample.masks
    assert prostate.sum() == 32 and torch.equal(sample.image[..., 1] > 128, transition)
    assert torch.equal(sample.image[..., 0] > 128, prostate & ~transition)
    assert torch.equal(sample.image[..., 0], sample.image[..., 2])
    assert sample.ignored is not None and sample.ignored.sum() == 9 and not (sample.ignored & prostate).any()
    classes = class_map(sample, ("background", "prostate", "TZ"))
    assert [int((classes == value).sum()) for value in (0, 1, 2, IGNORED)] == [120 - 32 - 9, 16, 16, 9]


def test_a_crop_ignores_the_ignore_label(nifti: Any) -> None:
    root = write_volumes(nifti)
    for seed, path in enumerate(sorted((root / "imagesTr").iterdir())):
        image = np.zeros((12, 10, 4), np.int16)
        image[1:9, 1:5] = np.random.default_rng(seed).integers(5, 90, (8, 4, 4))
        nifti.save(f"{root.name}/imagesTr/{path.name}", image)
    assert nnunet_splits(root, split=SPLIT, channels=0, crop="foreground").val[0].image.shape == (4, 8, 3)


def test_published_test_labels_are_the_test_part(nifti: Any) -> None:
    root = write_volumes(nifti)
    write_volume(nifti, root.name, "prostate_77", seed=7, part="Ts")
    splits = nnunet_splits(root, split=GroupSplit(val=0.3, test=0.3), channels="T2")
    assert splits.test is not None and {sample.name[:11] for sample in splits.test} == {"prostate_77"}
    assert len(splits.train) + len(splits.val) == 6
    slabs = SlabSplit(val=(0.25, 0.5), test=(0.5, 0.75), gap_mm=0)
    by_slab = nnunet_splits(root, split=slabs, channels="T2")
    assert (len(by_slab.train), len(by_slab.val), len(by_slab.test or ())) == (3, 3, 2)
    with pytest.raises(ValueError, match="split.test=0, since .*labelsTs"):
        nnunet_splits(root, split=GroupSplit(val=0.3, test=["prostate_00"]), channels="T2")


def test_a_test_image_that_is_a_training_image_too_is_refused(nifti: Any) -> None:
    root = write_volumes(nifti)
    write_volume(nifti, root.name, "prostate_77", seed=0, part="Ts")
    with pytest.raises(ValueError, match=r"prostate_00_0000.nii.gz \(train\) and .*prostate_77_0000.nii.gz \(test\)"):
        nnunet_splits(root, split=SPLIT, channels="T2")


def test_a_patient_in_training_and_test_volumes_is_refused(nifti: Any) -> None:
    root = write_volumes(nifti)
    write_volume(nifti, root.name, "prostate_16", seed=7, part="Ts")
    assert nnunet_splits(root, split=SPLIT, channels="T2").test is not None  # test cases may have numbers of their own
    with pytest.raises(ValueError, match=r"16 is in train \(.*imagesTr/.*\) and in test \(.*imagesTs/prostate_16_0000"):
        nnunet_splits(root, split=GroupSplit(val=["02"], test=0), channels="T2", group="prostate_([0-9]+)_")


def test_folds_are_those_of_the_file(nifti: Any) -> None:
    root = write_volumes(nifti)
    path = nifti.folder / "splits_final.json"
    folds = [
        {"train": ["prostate_00", "prostate_16"], "val": ["prostate_02"]},
        {"train": ["prostate_02", "prostate_16"], "val": ["prostate_00"]},
    ]
    path.write_text(json.dumps(folds))
    for fold, name in enumerate(["prostate_02", "prostate_00"]):
        splits = nnunet_splits(root, split=NnunetFold(path, fold), channels=0)
        assert {sample.name[:11] for sample in splits.val} == {name} and len(splits.train) == 4 and splits.test is None
    wrong = [
        (folds[:1], "`fold` below 1"),
        ({}, "array"),
        ([folds[0], {"train": ["prostate_00"]}], "list of cases for val"),
        ([folds[0], ["prostate_00"]], "list of cases for train"),
        ([folds[0], {"train": ["prostate_00"], "val": ["prostate_00"]}], "prostate_00 is in both"),
        ([folds[0], {"train": ["prostate_00"], "val": ["prostate_16"]}], "prostate_02 is in no part"),
    ]
    for content, message in wrong:
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message) as caught:
            nnunet_splits(root, split=NnunetFold(path, 1), channels=0)
        assert "splits_final.json" in str(caught.value)


def test_a_description_may_list_files_elsewhere_in_its_folder(nifti: Any) -> None:
    root = write_volumes(nifti)
    shutil.move(root / "imagesTr", root / "scans")
    listed = {
        name: {
            "images": [f"scans/{name}_{channel:04d}.nii.gz" for channel in (0, 1)],
            "label": f"./labelsTr/{name}.nii.gz",
        }
        for name in ("prostate_00", "prostate_02")
    }
    described = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(described | {"dataset": listed}))
    splits = nnunet_splits(root, split=SPLIT, channels="ADC")
    assert splits.val[0].name == "prostate_02_axial_001" and len(splits.train) == 2
    listed["prostate_00"]["label"] = "../prostate_00.nii.gz"
    (root / "dataset.json").write_text(json.dumps(described | {"dataset": listed}))
    with pytest.raises(ValueError, match=r"alone, but .*dataset.json names \.\./prostate_00.nii.gz"):
        nnunet_splits(root, split=SPLIT, channels="ADC")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channel_names": {"0": "T2", "1": "ADC", "2": "DWI"}}, "3 channels .*prostate_00_0000.nii.gz"),
        ({"channel_names": None}, "`channel_names` such as"),
        ({"channel_names": {"0": "T2", "2": "ADC"}}, "numbered 0, 1 in"),
        ({"channel_names": {"0": 1, "1": 2}}, "`channel_names` such as"),
        ({"labels": {"background": 0, "PZ": 1}}, r"names \(0, 1\) in .*labelsTr/prostate_00.nii.gz, but got 2, 3"),
        ({"labels": ["PZ"]}, "labels such as"),
        ({"file_ending": ".nrrd"}, "`file_ending` to be one of .nii.gz"),
        ({"file_ending": None}, "`file_ending` to be one of .nii.gz"),
        ({"file_ending": ".png"}, "ending in .png in .*imagesTr"),
        ({"dataset": ["prostate_00"]}, "`dataset` to be an object"),
        ({"dataset": {"prostate_00": {"images": "a"}}}, "images and a label of case prostate_00"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_by_file(nifti: Any, changes: Any, message: str) -> None:
    root = write_volumes(nifti, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        nnunet_splits(root, split=SPLIT, channels=0)
    assert str(root) in str(caught.value)


def test_an_old_description_is_sent_to_the_right_reader(nifti: Any) -> None:
    root = write_volumes(nifti)
    (root / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "labels": {}, "training": []}))
    with pytest.raises(ValueError, match="data=msd"):
        nnunet_splits(root, split=SPLIT)


@pytest.mark.parametrize(
    "name, message",
    [
        ("labelsTr/prostate_00.nii.gz", "case prostate_00 has no label"),
        ("imagesTr/prostate_00_0000.nii.gz", "without a gap, but got prostate_00_0001.nii.gz"),
        ("imagesTr/prostate_00_0001.nii.gz", "2 channels .*prostate_00_0000.nii.gz"),
        ("dataset.json", "dataset.json"),
    ],
)
def test_a_missing_file_is_named(nifti: Any, name: str, message: str) -> None:
    root = write_volumes(nifti)
    (root / name).unlink()
    with pytest.raises(ValueError, match=message):
        nnunet_splits(root, split=SPLIT, channels=0)


def test_files_of_other_names_are_refused_but_not_those_of_macos(nifti: Any) -> None:
    root = write_volumes(nifti)
    (root / "imagesTr" / "._prostate_00_0000.nii.gz").write_bytes(b"macOS")
    (root / "labelsTr" / "._prostate_00.nii.gz").write_bytes(b"macOS")
    assert len(nnunet_splits(root, split=SPLIT, channels=0).train) == 4
    (root / "imagesTr" / "prostate_20.nii.gz").write_bytes(b"")
    with pytest.raises(ValueError, match="CASE_0000.nii.gz in .*prostate_20.nii.gz"):
        nnunet_splits(root, split=SPLIT, channels=0)


LABEL = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0]], np.uint8)
ROADS = {"background": 0, "road": 1, "ignore": 2}


def write_images(root: Path, *, ending: str = ".png", names: dict[str, str], colour: bool) -> Path:
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    for number, case in enumerate(["a_1", "a_2", "b_1", "c_1"]):
        label = LABEL if case != "c_1" else 0 * LABEL
        planes = [np.uint8(40 * channel + 10 * number + 5 * LABEL) for channel in range(3)]
        files = {"0000": np.stack(planes, axis=-1)} if colour else {f"{k:04d}": planes[k] for k in range(len(names))}
        for channel, pixels in files.items():
            Image.fromarray(pixels).save(root / "imagesTr" / f"{case}_{channel}{ending}")
        Image.fromarray(label).save(root / "labelsTr" / f"{case}{ending}")
    described = {"channel_names": names, "labels": ROADS, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


BY_GROUP = {"split": GroupSplit(val=["b"], test=0), "group": "([a-c])_[0-9]_0000"}
SMALL = ObjectRule(min_area_px=2)
RGB = {"0": "R", "1": "G", "2": "B"}


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_single_images_are_colour_files_or_a_grey_file_for_each_channel(
    tmp_path: Path, ending: str, colour: bool
) -> None:
    root = write_images(tmp_path, ending=ending, names=RGB, colour=colour)
    splits = nnunet_splits(root, objects=SMALL, **BY_GROUP)  # type: ignore[arg-type]
    assert isinstance(splits.val, LabelledImages) and splits.val.class_names == ("road",)
    assert [sample.name for sample in splits.train] == ["a_1", "a_2"]  # c_1 has no object
    sample = splits.val[0]
    assert torch.equal(sample.masks[0], torch.from_numpy(LABEL == 1)) and sample.class_names == ("road",)
    assert sample.ignored is not None and torch.equal(sample.ignored, torch.from_numpy(LABEL == 2))
    wanted = np.stack([40 * channel + 20 + 5 * LABEL for channel in range(3)], axis=-1)
    assert np.array_equal(sample.image.numpy(), wanted)
    turned = nnunet_splits(root, objects=SMALL, channels=["B", "R", 1], **BY_GROUP)  # type: ignore[arg-type]
    assert np.array_equal(turned.val[0].image.numpy(), wanted[..., [2, 0, 1]])
    grey = nnunet_splits(root, objects=SMALL, channels="G", **BY_GROUP)  # type: ignore[arg-type]
    assert np.array_equal(grey.val[0].image.numpy(), wanted[..., [1, 1, 1]])


def test_images_without_object_are_added_by_share(tmp_path: Path) -> None:
    root = write_images(tmp_path, names={"0": "grey"}, colour=False)
    splits = nnunet_splits(root, objects=SMALL, empty=1.0, **BY_GROUP)  # type: ignore[arg-type]
    assert [(sample.name, len(sample.masks)) for sample in splits.train] == [("a_1", 1), ("a_2", 1), ("c_1", 0)]


def test_test_images_are_the_test_part(tmp_path: Path) -> None:
    root = write_images(tmp_path, names={"0": "grey"}, colour=False)
    copy_to_test(root)
    splits = nnunet_splits(root, split=GroupSplit(val=["b_1"], test=0.2), objects=SMALL)
    assert splits.test is not None and len(splits.test) == 3 and len(splits.train) == 2


def copy_to_test(root: Path) -> None:
    """Other test cases of the same names."""
    shutil.copytree(root / "labelsTr", root / "labelsTs")
    (root / "imagesTs").mkdir()
    for path in (root / "imagesTr").iterdir():
        Image.fromarray(255 - np.array(Image.open(path))).save(root / "imagesTs" / path.name)


def test_a_patient_in_training_and_test_images_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path, names={"0": "grey"}, colour=False)
    copy_to_test(root)
    with pytest.raises(ValueError, match=r"a is in train \(.*labelsTr/a_1.png\) and in test \(.*labelsTs/a_1.png\)"):
        nnunet_splits(root, objects=SMALL, **BY_GROUP)  # type: ignore[arg-type]
    shutil.copy(root / "imagesTr" / "b_1_0000.png", root / "imagesTs" / "c_1_0000.png")
    shutil.copy(root / "labelsTr" / "b_1.png", root / "labelsTs" / "c_1.png")
    with pytest.raises(ValueError, match=r"b_1_0000.png \(train\) and .*imagesTs/c_1_0000.png \(test\)"):
        nnunet_splits(root, split=GroupSplit(val=["b_1"], test=0), objects=SMALL)


@pytest.mark.parametrize("setting", [{"axis": "coronal"}, {"window": "lung"}, {"neighbours": 1}, {"slices": (0, 1)}])
def test_settings_of_volumes_are_refused_for_images(tmp_path: Path, setting: Any) -> None:
    root = write_images(tmp_path, names={"0": "grey"}, colour=False)
    with pytest.raises(ValueError, match=f"{next(iter(setting))} is of volumes"):
        nnunet_splits(root, objects=SMALL, **BY_GROUP, **setting)
    with pytest.raises(ValueError, match="data/split=groups"):
        nnunet_splits(root, split=SlabSplit(val=(0.2, 0.4)), objects=SMALL)


def test_images_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    root = write_images(tmp_path, names={"0": "a", "1": "b"}, colour=False)
    reading = {"objects": SMALL, "channels": [0, 1, 0], **BY_GROUP}
    small = root / "imagesTr" / "b_1_0001.png"
    Image.fromarray(LABEL[:2]).save(small)
    with pytest.raises(ValueError, match="b_1_0001.png of the size"):
        nnunet_splits(root, **reading).val[0]  # type: ignore[arg-type]
    Image.fromarray(np.zeros((3, 4, 3), np.uint8) + np.uint8([1, 2, 3])).save(small)
    with pytest.raises(ValueError, match="one grey channel in .*b_1_0001.png"):
        nnunet_splits(root, **reading).val[0]  # type: ignore[arg-type]
    label = root / "labelsTr" / "b_1.png"
    for pixels, message in ((LABEL[:2], "of the size of its image"), (LABEL + 5, "but got 5, 6, 7")):
        Image.fromarray(pixels).save(label)
        with pytest.raises(ValueError, match=f"labelsTr/b_1.png.*{message}"):
            nnunet_splits(root, **reading)  # type: ignore[arg-type]
    label.write_bytes(label.read_bytes()[:40])
    with pytest.raises(ValueError, match="b_1.png"):
        nnunet_splits(root, **reading)  # type: ignore[arg-type]
