from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_ft.data.msd import msd_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.volumes.slices import VolumeSlices

MODALITIES = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
SPLIT = GroupSplit(val=["BRATS_002"], test=0)


def write_task(nifti: Any, **changes: Any) -> Path:
    """Three cases of four sequences, of which sequence k is brighter at the voxels of label k, and the macOS files."""
    root: Path = nifti.folder / "Task01_BrainTumour"
    affine = nifti.affine("LPS", spacing_mm=(1.0, 1.0, 3.0))
    names = ["BRATS_001", "BRATS_002", "BRATS_003"]
    for seed, name in enumerate(names):
        random = np.random.default_rng(seed)
        label = np.zeros((12, 10, 4), np.uint8)
        label[1:5, 1:5, 1:3], label[5:9, 1:5, 1:3], label[5:9, 5:9, 1:3] = 1, 2, 3
        image = random.integers(1, 40, (12, 10, 4, 4)) + np.stack([900 * (label == k) for k in range(4)], axis=-1)
        nifti.save(f"{root.name}/imagesTr/{name}.nii.gz", image.astype(np.int16), affine)
        nifti.save(f"{root.name}/labelsTr/{name}.nii.gz", label, affine)
        (root / "imagesTr" / f"._{name}.nii.gz").write_bytes(b"\0\5\26\7macOS")
    described = {
        "name": "BRATS",
        "tensorImageSize": "4D",
        "modality": MODALITIES,
        "labels": LABELS,
        "numTraining": 3,
        "training": [
            {"image": f"./imagesTr/{prefix}{name}.nii.gz", "label": f"./labelsTr/{prefix}{name}.nii.gz"}
            for name in names
            for prefix in ("", "._")
        ],
        "test": ["./imagesTs/BRATS_485.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(described | changes))
    return root


def test_sequences_are_chosen_by_name_and_classes_are_those_of_the_file(nifti: Any) -> None:
    root = write_task(nifti)
    splits = msd_splits(root, split=SPLIT, channels=["T1w", "t1gd", "T2w"])
    assert isinstance(splits.train, VolumeSlices) and len(splits.train) == 4 and len(splits.val) == 2
    assert splits.train.class_names == tuple(LABELS.values())[1:]
    sample = splits.val[0]
    assert sample.name == "BRATS_002_axial_001" and sample.class_names == tuple(LABELS.values())[1:]
    for channel, mask in enumerate(sample.masks):
        bright = sample.image[..., channel] > 128
        assert (bright == mask).all() and mask.sum() == 16
    grey = msd_splits(root, split=SPLIT, channels="t1gd").val[0]
    assert ((grey.image > 128).all(dim=-1) == grey.masks[1]).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"modality": {"0": "CT"}}, r"1 channels \(CT\) in .*BRATS_001.nii.gz.*got 4"),
        ({"modality": ["CT"]}, "`modality` such as"),
        ({"modality": {"1": "CT"}}, "numbered 0 in .*but got 1"),
        ({"channel_names": {"0": "CT"}}, "data=nnunet"),
        ({"labels": {"0": "background", "1": "edema"}}, r"names \(0, 1\) in .*labelsTr/BRATS_001.nii.gz, but got 2, 3"),
        ({"labels": 3}, "labels such as"),
        ({"training": {}}, "list of cases as `training`"),
        ({"training": []}, "list of cases as `training`"),
        ({"training": ["./imagesTr/BRATS_001.nii.gz"]}, "image and label of each training case"),
        ({"training": [{"image": "./imagesTr/BRATS_001.nii.gz"}]}, "path of a file in .*but got None"),
        (
            {"training": [{"image": "./imagesTr/a.nii.gz", "label": "x"}]},
            "imagesTr/a.nii.gz, which .* names",
        ),
        ({"training": [{"image": "../../x.nii.gz", "label": "x"}]}, r"alone, but .* names \.\./\.\./x.nii.gz"),
        ({"training": [{"image": "/etc/passwd", "label": "x"}]}, "alone, but .* names /etc/passwd"),
        ({"training": [{"image": "imagesTr/BRATS_001.nii.gz", "label": "labelsTr/BRATS_001.nii.gz"}] * 2}, "twice"),
    ],
)
def test_a_description_that_is_wrong_is_refused_by_file(nifti: Any, changes: dict[str, Any], message: str) -> None:
    root = write_task(nifti, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        msd_splits(root, split=SPLIT, channels=0)
    assert "dataset.json" in str(caught.value)


def test_damaged_files_are_refused_by_name(nifti: Any) -> None:
    root = write_task(nifti)
    image, label = root / "imagesTr" / "BRATS_001.nii.gz", root / "labelsTr" / "BRATS_001.nii.gz"
    whole = label.read_bytes()
    label.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="labelsTr/BRATS_001.nii.gz"):
        msd_splits(root, split=SPLIT, channels=0)
    nifti.save(f"{root.name}/labelsTr/BRATS_001.nii.gz", np.ones((12, 10, 5), np.uint8))
    with pytest.raises(ValueError, match="labelsTr/BRATS_001.nii.gz.*shapes differ"):
        msd_splits(root, split=SPLIT, channels=0)
    image.write_bytes(image.read_bytes()[:40])
    with pytest.raises(ValueError, match="imagesTr/BRATS_001.nii.gz"):
        msd_splits(root, split=SPLIT, channels=0)
    (root / "dataset.json").write_text('{"modality": {')
    with pytest.raises(ValueError, match="dataset.json"):
        msd_splits(root, split=SPLIT)
