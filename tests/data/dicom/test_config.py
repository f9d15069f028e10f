from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

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
