"""Volumes in the layouts of other programs are looked at as those of `data=nifti` are."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sam_ft.data.dicom.parts import dicom_splits
from sam_ft.data.medsam.parts import medsam_splits
from sam_ft.data.splits import GroupSplit, SlabSplit
from sam_ft.doctor.examination import Plan, examine
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.inventory.listing import inventory_of
from tests.data.dicom.conftest import DicomFiles
from tests.doctor import healthy, layouts
from tests.doctor.healthy import DataSet

Make = Callable[[Path], DataSet]
LAYOUTS = [layouts.nnunet, layouts.decathlon, layouts.archives, layouts.series]


def found(data: DataSet) -> dict[str, Finding]:
    return {finding.code: finding for finding in data.examine().findings}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_healthy_volumes_are_seen_whole_and_nothing_is_said_of_them(make: Make, tmp_path: Path) -> None:
    examination = make(tmp_path).examine()
    assert examination.findings == ()
    assert examination.inventory.is_volumes and len(examination.seen) == 10
    for number, each in enumerate(examination.seen):
        image, label = healthy.volume(number)
        assert each.label is not None and each.label.values == {1: int(label.sum())}
        assert each.image is not None and (each.image.low, each.image.high) == (image.min(), image.max())
        assert each.grid is not None and each.grid.spacing_mm == pytest.approx((1.0, 1.0, 2.0))
    assert len(examination.examples) == 6


def test_names_in_a_file_beside_the_labels_are_the_classes(tmp_path: Path) -> None:
    data = healthy.volumes(tmp_path)
    for path in data.files("labels"):
        labels = np.asanyarray(nibabel.load(path).dataobj)
        labels[:20] = 255
        healthy.save_volume(path, labels)
    (data.root / "labels.json").write_text('{"liver": 1, "spleen": 2, "ignore": 255}')
    examination = data.examine()
    (finding,) = examination.findings
    assert finding.code == "absent_class" and [each.where for each in finding.found] == ["spleen"]
    assert examination.sizes.areas.max() < 500  # a disc has less, what is ignored 1920


def flat(data: DataSet, names: list[str]) -> None:
    """All volumes in two folders, under other names."""
    for kind in ("images", "labels"):
        (data.root / kind).mkdir()
        for path, name in zip(sorted(data.root.glob(f"case*/{kind}/*")), names, strict=True):
            path.rename(data.root / kind / f"{name}.nii.gz")
    data.told(images=f"{data.root}/images/*.nii.gz", labels=f"{data.root}/labels/*.nii.gz")


def test_names_of_volumes_that_begin_alike_in_two_parts_are_told(tmp_path: Path) -> None:
    data = healthy.volumes(tmp_path)
    flat(data, [f"sub-0{number // 2}_ses-{number % 2}" for number in range(10)])
    finding = found(data)["shared_names"]
    assert finding.text.startswith("Volumes whose names") and 'data.group="(sub-[0-9]+)"' in finding.advice
    assert "manifest" not in finding.advice
    data.told(group="(sub-[0-9]+)")
    assert list(found(data)) == ["single_volume"]


def test_the_advice_for_groups_of_volumes_is_a_setting_that_they_have(tmp_path: Path) -> None:
    data = healthy.volumes(tmp_path)
    flat(data, [f"sub-0{number // 2}_ses-{number % 2}" for number in range(10)])
    data.plan["group"] = "(sub-[0-9]+)"
    finding = found(data)["group_leak"]
    assert "data.group=" in finding.advice and "manifest" not in finding.advice


def test_headers_of_nnunet_are_checked(tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    image, label = data.files("imagesTr", ".")[0], data.files("labelsTr", ".")[0]
    affine = np.diag([1.0, 1.0, 60.0, 1.0])
    turned = np.diag([-1.0, -1.0, 60.0, 1.0])
    turned[:3, 3] = (100.0, 0.0, 250.0)
    for path in (image, label):
        voxels = np.asanyarray(nibabel.load(path).dataobj)
        changed = nibabel.Nifti1Image(voxels, affine)
        changed.set_sform(affine, code=1)
        changed.set_qform(turned, code=1)
        nibabel.save(changed, path)
    findings = found(data)
    assert list(findings) == ["two_affines", "odd_spacing"]
    assert [each.where for each in findings["two_affines"].found] == [str(image), str(label)]
    assert "180 degrees" in findings["two_affines"].found[0].detail


def test_a_group_is_looked_for_in_the_paths_of_nnunet(tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    data.plan["group"] = "(case)[0-9]"
    assert list(found(data)) == ["group_leak"]
    data.told(group="case([0-9])")
    assert {case.group for case in data.examine().inventory.cases} == set("0123456789")


def test_test_cases_of_nnunet_are_the_test_part(tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    for kind, ending in (("images", "_0000"), ("labels", "")):
        (data.root / f"{kind}Ts").mkdir()
        for name in ("case8", "case9"):
            path = data.root / f"{kind}Tr" / f"{name}{ending}.nii.gz"
            path.rename(data.root / f"{kind}Ts" / path.name)
    cases = data.examine().inventory.cases
    assert [case.name for case in cases if case.part == "test"] == ["case8", "case9"]
    assert sorted(str(case.part) for case in cases) == ["test"] * 2 + ["train"] * 6 + ["val"] * 2


@pytest.mark.parametrize("make, labels", [(layouts.nnunet, "labelsTr"), (layouts.decathlon, "labelsTr")])
def test_a_truncated_label_is_found_and_the_others_are_looked_at(make: Make, labels: str, tmp_path: Path) -> None:
    data = make(tmp_path)
    path = data.files(labels, ".")[3]
    path.write_bytes(path.read_bytes()[:300])
    examination = data.examine()
    (finding,) = examination.findings
    assert finding.code == "unreadable_label" and [each.where for each in finding.found] == [str(path)]
    assert sum(each.label is not None for each in examination.seen) == 9


def test_a_file_of_several_channels_is_counted_once(tmp_path: Path) -> None:
    data = layouts.decathlon(tmp_path)
    data.told(channels=["T1", "T2", "T1"])
    assert len(data.examine().inventory.cases) == 20
    path = data.files("imagesTr", ".")[0]
    path.write_bytes(path.read_bytes()[:5000])
    finding = found(data)["unreadable_image"]
    assert [each.where for each in finding.found] == [str(path)] and finding.text.startswith("1 image ")


def test_classes_of_a_description_are_checked(tmp_path: Path) -> None:
    data = layouts.decathlon(tmp_path)
    description = data.root / "dataset.json"
    content = json.loads(description.read_text())
    content["labels"]["2"] = "vessel"
    description.write_text(json.dumps(content))
    assert "vessel" in found(data)["absent_class"].text


def test_voxels_of_an_unlikely_size_in_an_archive_are_found(tmp_path: Path) -> None:
    data = layouts.archives(tmp_path)
    path = data.root / "case4.npz"
    with np.load(path) as content:
        np.savez(path, imgs=content["imgs"], gts=content["gts"], spacing=np.array([60.0, 60.0, 60.0]))
    findings = found(data)
    assert list(findings) == ["odd_spacing", "unequal_spacing"]
    assert [each.where for each in findings["odd_spacing"].found] == [str(path)]


def test_a_label_of_an_archive_that_its_reader_refuses_is_found_and_the_others_are_looked_at(tmp_path: Path) -> None:
    data = layouts.archives(tmp_path)
    path = data.root / "case4.npz"
    with np.load(path) as content:
        np.savez(path, imgs=content["imgs"], gts=content["gts"] / 3, spacing=content["spacing"])
    examination = data.examine()
    (finding,) = examination.findings
    assert finding.code == "unreadable_label" and [each.where for each in finding.found] == [str(path)]
    assert sum(each.label is not None for each in examination.seen) == 9


def test_segments_of_series_are_labels(tmp_path: Path) -> None:
    files = DicomFiles(tmp_path)
    for number, name in enumerate("abcdef"):
        image, label = healthy.volume(number)
        paths = files.save_series(f"{name}/ct", image.astype(np.uint16), healthy.SPACING)
        frames = [(index, 1, label[:, :, index].T > 0) for index in range(label.shape[2])]
        files.save_segmentation(f"{name}/seg.dcm", paths, frames)
    build = partial(
        dicom_splits,
        images=f"{tmp_path}/*/ct",
        labels=f"{tmp_path}/*/seg.dcm",
        split=GroupSplit(),
        objects=layouts.RULE,
    )
    seen = examine(inventory_of(build), Plan()).seen
    assert [each.label and each.label.values for each in seen] == [
        {1: int(healthy.volume(number)[1].sum())} for number in range(6)
    ]


def test_volumes_that_are_split_by_slabs_belong_to_no_part_alone(tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    data.told(split=SlabSplit(val=(0.4, 0.6), gap_mm=0))
    examination = data.examine()
    assert examination.findings == () and {case.part for case in examination.inventory.cases} == {None}


def test_folders_of_archives_are_the_parts(tmp_path: Path) -> None:
    data = layouts.archives(tmp_path)
    for number, path in enumerate(sorted(data.root.glob("*.npz"))):
        folder = data.root / ("train" if number < 7 else "val")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    parts = [case.part for case in data.examine().inventory.cases]
    assert parts == ["train"] * 7 + ["val"] * 3


def test_what_the_reader_of_series_warns_of_is_a_finding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = layouts.series(tmp_path)
    path = data.root / "case0" / "label.nii.gz"
    label = nibabel.load(path)
    label.set_qform(np.diag([1.0, 1.0, 9.0, 1.0]), code=1)
    label.set_sform(healthy.SPACING, code=1)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(label.dataobj), None, label.header), path)
    finding = found(data)["reader_warns"]
    assert str(path) in finding.found[0].where and "places its voxels in two ways" in finding.found[0].where
    assert caplog.records == []


def test_an_empty_label_of_a_series_is_found(tmp_path: Path) -> None:
    data = layouts.series(tmp_path)
    path = data.root / "case0" / "label.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((96, 96, 8), np.uint8), healthy.SPACING), path)
    assert list(found(data)) == ["empty_label"]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_data_set_that_is_refused_is_a_finding(make: Make, tmp_path: Path) -> None:
    data = make(tmp_path)
    labels = [*data.files("labelsTr", "."), *data.root.glob("*.npz"), *data.root.glob("*/label.nii.gz")]
    labels[0].unlink() if labels[0].suffix != ".npz" else labels[0].write_bytes(b"")
    (finding,) = data.examine().findings
    assert finding.code == "refused" and labels[0].name.split(".")[0] in finding.text


def test_groups_are_looked_for_in_the_paths_of_single_images(tmp_path: Path) -> None:
    for number in range(12):
        image, labels = healthy.picture(number)
        for kind, pixels in (("imgs", np.repeat(image[..., None] / 255, 3, axis=-1)), ("gts", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            np.save(tmp_path / kind / f"film{number % 2}x{number}y.npy", pixels)
    inventory = inventory_of(partial(medsam_splits, root=tmp_path, split=GroupSplit()))
    codes = [finding.code for finding in examine(inventory, Plan(group="(film[0-9])")).findings]
    assert "group_leak" in codes
    with pytest.raises(ValueError, match="matches none, such as .*film"):
        examine(inventory, Plan(group="(patient[0-9])"))
