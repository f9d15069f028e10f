"""ACDC: cardiac MR of 150 patients at end-diastole and end-systole, with both ventricles and the myocardium.

Source: Automated Cardiac Diagnosis Challenge, https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html.
    O. Bernard et al., "Deep learning techniques for automatic MRI cardiac multi-structures segmentation and diagnosis:
    is the problem solved?", IEEE Transactions on Medical Imaging 37, 2018
Licence: CC BY-NC-SA 4.0, for research; the site wants its users to register, so that the archive is fetched by hand.
Checksum of the archive: the one with which torch-em (`torch_em/data/datasets/medical/acdc.py`) fetches the collection;
the publisher states none.

    ACDC/database/training/patient001 ... patient100, ACDC/database/testing/patient101 ... patient150, each with
    Info.cfg, patient001_4d.nii.gz, patient001_frame01.nii.gz, patient001_frame01_gt.nii.gz, and a second frame

Becomes PART/images/patient001_frame01.nii.gz and PART/labels of the same name: 1 cavity of the right ventricle,
2 myocardium, 3 cavity of the left ventricle.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target, VolumeFiles
from sam_ft.data.splits import GroupSplit, Part

PAGE = "https://humanheart-project.creatis.insa-lyon.fr/database/#collection/637218c173e9f0047faa00fb"
_TRUTH = re.compile(r"(patient\d+_frame\d+)_gt\.nii(\.gz)?")


def convert(material: Material, target: Target) -> None:
    """Training divided by patients, testing as published."""
    root = material.folder_with("training")
    parts = parts_of_patients(sorted(path for path in (root / "training").iterdir() if path.is_dir()))
    if (root / "testing").is_dir():
        parts["test"] = sorted(path for path in (root / "testing").iterdir() if path.is_dir())
    for part, patients in parts.items():
        volumes = [volume for patient in patients for volume in volumes_of(patient)]
        if volumes:
            target.write_volumes(part, volumes)
    if not target.counts:
        raise ValueError(material.missing("patient001/patient001_frame01_gt.nii.gz"))


def parts_of_patients(patients: list[Path]) -> dict[Part, list[Path]]:
    """A fifth of the patients of each of the five groups of the challenge validates."""
    by_group: dict[str, list[Path]] = defaultdict(list)
    for patient in patients:
        by_group[group_of(patient)].append(patient)
    parts: dict[Part, list[Path]] = {"train": [], "val": []}
    for members in by_group.values():
        part_of = GroupSplit(val=0.2, test=0.0).assign([patient.name for patient in members])
        for patient in members:
            parts[part_of[patient.name]].append(patient)
    return {part: sorted(members) for part, members in parts.items()}


def group_of(patient: Path) -> str:
    """DCM, HCM, MINF, NOR or RV, as Info.cfg says.

    Raises:
        ValueError: It does not say.
    """
    path = patient / "Info.cfg"
    found = re.search(r"^Group:\s*(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
    if found is None:
        raise ValueError(f"Expected a line such as `Group: DCM` in {path}, but there is none.")
    return found[1]


def volumes_of(patient: Path) -> list[VolumeFiles]:
    """The frames of a patient that have labels.

    Raises:
        ValueError: Labels without their image.
    """
    volumes = []
    for labels in sorted(patient.iterdir()):
        if not (found := _TRUTH.fullmatch(labels.name)):
            continue
        image = labels.with_name(labels.name.replace("_gt.", "."))
        if not image.is_file():
            raise ValueError(f"Expected the image of {labels} at {image}, but there is none.")
        volumes.append(VolumeFiles(found[1], image, labels))
    return volumes


RECIPES = (
    Recipe(
        name="acdc",
        title="Cardiac MR with ventricles and myocardium (ACDC)",
        homepage="https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html",
        licence="CC BY-NC-SA 4.0",
        citation="O. Bernard et al., Deep learning techniques for automatic MRI cardiac multi-structures segmentation "
        "and diagnosis: is the problem solved?, IEEE Transactions on Medical Imaging 37, 2018",
        files=(
            RemoteFile(
                PAGE,
                "ACDC.zip",
                megabytes=2300,
                checksum="sha256:2787e08b0d3525cbac710fc3bdf69ee7c5fd7446472e49db8bc78548802f6b5e",
            ),
        ),
        unpacked_mb=2500,
        splits="test is the challenge's testing set (50 patients). Of its training set (100), a fifth of the patients "
        "of each diagnosis is val, chosen by a hash.",
        convert=convert,
        fit="data=nifti 'data.images={root}/*/images/*.nii.gz' 'data.labels={root}/*/labels/*.nii.gz' "
        "'data.split.val=[val]' 'data.split.test=[test]' "
        "'data.objects.classes={right_ventricle: 1, myocardium: 2, left_ventricle: 3}'",
        by_hand=f"register at {PAGE}, download the collection as ACDC.zip, and give --source ACDC.zip or the folder "
        "that it unpacks to.",
    ),
)
