from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from sam_ft.data.dicom.parts import dicom_splits
from sam_ft.data.splits import GroupSplit

CONFIGS = Path(__file__).parents[3] / "configs" / "data"


@pytest.mark.parametrize("window", ["file", "[40,400]", "[file,lung,null]"])
def test_dicom_config_builds_parts_of_series(dicom: Any, window: str) -> None:
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    for case in "abc":
        voxels = np.random.default_rng(ord(case)).integers(0, 100, (8, 8, 3)).astype(np.uint16)
        dicom.save_series(f"{case}/ct", voxels, affine, WindowCenter=40, WindowWidth=400)
        nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 3), np.uint8), affine), dicom.folder / case / "label.nii.gz")
    given = [f"images='{dicom.folder}/*/ct'", f"labels='{dicom.folder}/*/label.nii.gz'", f"window={window}"]
    with initialize_config_dir(str(CONFIGS), version_base=None):
        config = compose("dicom", [*given, "split.val=[b]", "objects.classes={organ: 1}", "crop=foreground"])
    splits = instantiate(config)
    assert splits.val[0].name == "b_axial_000" and splits.val[0].class_names == ("organ",)
    assert len(splits.train) == len(splits.val) == len(splits.test) == 3


def test_labels_json_names_the_labels_of_series(dicom: Any) -> None:
    voxels, affine = np.zeros((8, 8, 3), np.uint16), np.diag([-1.0, -1.0, 2.0, 1.0])
    label = np.ones((8, 8, 3), np.uint8)
    label[:2] = 255
    for case in "ab":
        dicom.save_series(f"{case}/ct", voxels + ord(case), affine)
        nibabel.save(nibabel.Nifti1Image(label, affine), dicom.folder / case / "label.nii.gz")
    patterns = f"{dicom.folder}/*/ct", f"{dicom.folder}/*/label.nii.gz"
    (dicom.folder / "labels.json").write_text('{"organ": 1, "ignore": 255}')
    sample = dicom_splits(*patterns, split=GroupSplit(val=["b"], test=0)).val[0]
    assert sample.class_names == ("organ",) and sample.ignored is not None and sample.ignored.sum() == 16
    (dicom.folder / "labels.json").write_text('{"organ": 1}')
    with pytest.raises(ValueError, match="labels.json names .*a/label.nii.gz, but got 255"):
        dicom_splits(*patterns, split=GroupSplit(val=["b"], test=0))
