"""What is peculiar to single data sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from sam_ft.data.image_files import read_label_map
from sam_ft.data.splits import DataSplits

Published = Callable[[str], Path]
Read = Callable[..., DataSplits]


def unzip(folder: Path, place: Path) -> Path:
    import shutil

    for archive in folder.glob("*.zip"):
        shutil.unpack_archive(archive, place)
    return place


# ACDC


def test_a_fifth_of_each_diagnosis_of_acdc_is_val_and_no_patient_is_in_two_parts(kitchen: Any) -> None:
    record = kitchen.prepare("acdc")
    patients = {
        part: {path.name[:10] for path in (record.folder / part / "images").iterdir()} for part in record.counts
    }
    assert [len(patients[part]) for part in ("train", "val", "test")] == [5, 5, 1]
    assert patients["test"] == {"patient101"} and not patients["train"] & patients["val"]
    diagnosis = {f"patient{number:03d}": number % 5 for number in range(1, 11)}
    assert Counter(diagnosis[patient] for patient in patients["val"]) == dict.fromkeys(range(5), 1)


def test_acdc_without_a_diagnosis_is_refused(kitchen: Any, published: Published, tmp_path: Path) -> None:
    folder = unzip(published("acdc"), tmp_path / "unpacked")
    info = folder / "ACDC" / "database" / "training" / "patient004" / "Info.cfg"
    info.write_text("ED: 1\n")
    with pytest.raises(ValueError, match=f"Expected a line such as `Group: DCM` in {info}"):
        kitchen.prepare("acdc", folder)


def test_volumes_of_acdc_that_somebody_decompressed_are_compressed_again(
    kitchen: Any, published: Published, tmp_path: Path, read: Read
) -> None:
    folder = unzip(published("acdc"), tmp_path / "unpacked")
    for path in list(folder.rglob("*_frame*.nii.gz")):
        nibabel.save(nibabel.load(path), path.with_name(path.name.removesuffix(".gz")))
        path.unlink()
    record = kitchen.prepare("acdc", folder)
    assert {path.suffix for path in record.folder.glob("*/*/*")} == {".gz"}
    assert len(read(record).train) == 30


# The Decathlon


def test_a_task_with_several_sequences_is_read_by_its_command(
    kitchen: Any, recipes: dict[str, Any], tmp_path: Path, read: Read
) -> None:
    source = tmp_path / "Task05_Prostate"
    labels = np.zeros((12, 12, 3), dtype=np.uint8)
    labels[2:6, 2:8, 1], labels[6:10, 2:8, 1] = 1, 2
    names = [f"prostate_{number:02d}" for number in range(5)]
    for kind in ("imagesTr", "labelsTr"):
        (source / kind).mkdir(parents=True)
    for number, name in enumerate(names):
        voxels = number + np.arange(12 * 12 * 6.0).reshape(12, 12, 3, 2)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), source / "imagesTr" / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), source / "labelsTr" / f"{name}.nii.gz")
    listed = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    (source / "dataset.json").write_text(json.dumps({"training": listed}))
    splits = read(kitchen.prepare("msd_task05_prostate", source))
    assert [len(splits.train), len(splits.val), splits.train[0].class_names] == [
        3,
        1,
        ("peripheral_zone", "transition_zone"),
    ]


@pytest.mark.parametrize("content", ["[]", "{", '{"training": []}', '{"training": ["a.nii.gz"]}'])
def test_a_list_of_cases_that_says_nothing_is_refused(kitchen: Any, tmp_path: Path, content: str) -> None:
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "source" / name).mkdir(parents=True)
    (tmp_path / "source" / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match="Expected a list `training` of images and labels"):
        kitchen.prepare("msd_task09_spleen", tmp_path / "source")


def test_a_case_that_is_listed_and_not_there_is_named(kitchen: Any, tmp_path: Path) -> None:
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / "source" / name).mkdir(parents=True)
    listed = {"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]}
    (tmp_path / "source" / "dataset.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="imagesTr/a.nii.gz, as .*dataset.json lists it"):
        kitchen.prepare("msd_task09_spleen", tmp_path / "source")


# DRIVE


def test_outside_the_field_of_view_of_drive_nobody_knows(kitchen: Any, read: Read) -> None:
    sample = read(kitchen.prepare("drive")).train[0]
    assert sample.ignored is not None
    assert sample.ignored.sum() == 24 * 32 - 20 * 28
    assert dict(zip(sample.class_names, sample.masks.sum((1, 2)).tolist(), strict=True)) == {
        "background": 20 * 28 - 2 * 24,
        "vessel": 2 * 24,
    }


def test_without_labels_of_the_test_set_of_drive_a_fifth_of_the_training_images_is_test(
    kitchen: Any, published: Published, read: Read
) -> None:
    splits = read(kitchen.prepare("drive", published("drive") / "training.zip"))
    assert splits.test is not None
    assert [len(splits.train), len(splits.val), len(splits.test)] == [4, 1, 1]


# Kvasir-SEG


def test_each_polyp_is_an_object_and_a_speck_is_none(kitchen: Any) -> None:
    record = kitchen.prepare("kvasir_seg")
    labels = read_label_map(next((record.folder / "val" / "labels").iterdir()))
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[12, 12] == 1 and labels[30, 34] == 2 and labels[0, 46] == 0


# DAVIS


def test_masks_of_davis_are_taken_as_published(kitchen: Any, published: Published, tmp_path: Path) -> None:
    folder = unzip(published("davis2017"), tmp_path / "unpacked")
    record = kitchen.prepare("davis2017", folder)
    source = folder / "DAVIS" / "Annotations" / "480p" / "camel" / "00001.png"
    assert (record.folder / "train" / "labels" / "camel_00001.png").read_bytes() == source.read_bytes()
    assert not list((record.folder / "val" / "images").glob("camel*"))


@pytest.mark.parametrize(
    "missing", ["JPEGImages/480p/camel/00001.jpg", "Annotations/480p/libby", "ImageSets/2017/val.txt"]
)
def test_what_is_missing_of_davis_is_named(kitchen: Any, published: Published, tmp_path: Path, missing: str) -> None:
    folder = unzip(published("davis2017"), tmp_path / "unpacked")
    path = folder / "DAVIS" / missing
    for file in [path] if path.is_file() else list(path.iterdir()):
        file.unlink()
    with pytest.raises(ValueError, match=missing):
        kitchen.prepare("davis2017", folder)


@pytest.fixture
def sequences(data_folder: Path, tmp_path: Path) -> Path:
    """Real sequences in the layout of DAVIS, four frames each."""
    root = tmp_path / "DAVIS"
    (root / "ImageSets" / "2017").mkdir(parents=True)
    for part, names in (("train", ["libby", "car-shadow"]), ("val", ["blackswan"])):
        (root / "ImageSets" / "2017" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            for kind, folder in (("JPEGImages", "frames"), ("Annotations", "masks")):
                place = root / kind / "480p" / name
                place.mkdir(parents=True)
                for path in sorted((data_folder / "video" / name / folder).iterdir())[:4]:
                    (place / path.name).symlink_to(path)
    return root


@pytest.mark.data
def test_real_sequences_in_the_layout_of_davis_are_prepared(
    kitchen: Any, sequences: Path, data_folder: Path, read: Read
) -> None:
    splits = read(kitchen.prepare("davis2017", sequences))
    assert [len(splits.train), len(splits.val)] == [8, 4]
    sample = splits.val[0]
    with Image.open(data_folder / "video" / "blackswan" / "masks" / "00000.png") as mask:
        assert sample.masks[0].sum() == np.count_nonzero(np.array(mask))


@pytest.mark.data
def test_prepared_real_sequences_can_be_trained_on_and_evaluated(
    kitchen: Any, sequences: Path, evaluated: Callable[..., dict[str, float]]
) -> None:
    record = kitchen.prepare("davis2017", sequences, limit=2)
    summary = evaluated(record, "val")
    assert summary["num_images"] == 2 and summary["num_masks"] == record.counts["val"]["objects"] == 2
    assert 0 <= summary["miou@1"] < 1 and 0 < summary["miou@box"] < 1


# ICBM152


def test_the_brain_takes_neither_a_source_nor_a_limit(kitchen: Any, tmp_path: Path) -> None:
    from sam_ft.data.preparing.preparation import Order, prepare

    recipe = kitchen.recipes["brain_icbm152"]
    (tmp_path / "source").mkdir()
    with pytest.raises(ValueError, match="comes with a Python package"):
        prepare(recipe, Order(tmp_path / "out", sources=(tmp_path / "source",)))
    with pytest.raises(ValueError, match="no --limit for brain_icbm152"):
        prepare(recipe, Order(tmp_path / "out", limit=1))
