"""The healthy volumes of `tests.doctor.healthy` in the layouts of other programs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from sam_ft.data.dicom.parts import dicom_splits
from sam_ft.data.medsam.parts import medsam_splits
from sam_ft.data.msd import msd_splits
from sam_ft.data.nnunet.parts import nnunet_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.volumes.objects import ObjectRule
from tests.data.dicom.conftest import DicomFiles
from tests.doctor.healthy import SPACING, DataSet, save_volume, volume

RULE = ObjectRule(kind="components")
NAMES = [f"case{number}" for number in range(10)]


def nnunet(tmp_path: Path) -> DataSet:
    """`data=nnunet`: one channel, one class."""
    root = tmp_path / "Dataset001_Cells"
    for number, name in enumerate(NAMES):
        image, label = volume(number)
        save_volume(root / "imagesTr" / f"{name}_0000.nii.gz", image)
        save_volume(root / "labelsTr" / f"{name}.nii.gz", label)
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "cell": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(described))
    return DataSet(root, partial(nnunet_splits, root=root, split=GroupSplit(), objects=RULE))


def decathlon(tmp_path: Path) -> DataSet:
    """`data=msd`: two channels in each file, of which one is chosen."""
    root = tmp_path / "Task01_Cells"
    for number, name in enumerate(NAMES):
        image, label = volume(number)
        save_volume(root / "imagesTr" / f"{name}.nii.gz", np.stack([image, image[::-1]], axis=-1))
        save_volume(root / "labelsTr" / f"{name}.nii.gz", label)
    described = {
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "cell"},
        "training": [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in NAMES],
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return DataSet(root, partial(msd_splits, root=root, split=GroupSplit(), objects=RULE, channels="T1"))


def archives(tmp_path: Path) -> DataSet:
    """`data=medsam`: volumes in archives."""
    root = tmp_path / "npz"
    root.mkdir()
    for number, name in enumerate(NAMES):
        image, label = (np.ascontiguousarray(each.transpose(2, 1, 0)) for each in volume(number))
        np.savez(root / f"{name}.npz", imgs=image.astype(np.uint8), gts=label, spacing=np.array([1.0, 1.0, 2.0]))
    (root / "labels.json").write_text('{"cell": 1}')
    return DataSet(root, partial(medsam_splits, root=root, split=GroupSplit(), objects=RULE))


def series(tmp_path: Path) -> DataSet:
    """`data=dicom`: series with labels as NIfTI volumes."""
    root = tmp_path / "patients"
    files = DicomFiles(root)
    for number, name in enumerate(NAMES):
        image, label = volume(number)
        files.save_series(f"{name}/ct", image.astype(np.uint16), SPACING)
        nibabel.save(nibabel.Nifti1Image(label, SPACING), root / name / "label.nii.gz")
    patterns = {"images": f"{root}/*/ct", "labels": f"{root}/*/label.nii.gz"}
    return DataSet(root, partial(dicom_splits, **patterns, split=GroupSplit(), objects=RULE))
