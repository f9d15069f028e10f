"""Medical Segmentation Decathlon: ten tasks on CT and MR volumes, one recipe a task.

Source: http://medicaldecathlon.com, as AWS Open Data serves it (https://registry.opendata.aws/msd/).
    M. Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13, 2022
Licence: CC BY-SA 4.0. Checksums: the MD5 with which MONAI (`monai/apps/datasets.py`) fetches the same addresses.

    TaskNN_NAME/dataset.json, imagesTr/CASE.nii.gz, labelsTr/CASE.nii.gz; imagesTs has no labels and is left out

Becomes PART/images/CASE.nii.gz and PART/labels/CASE.nii.gz. No labelled test part is published; a fifth of the cases is
val and a fifth test, chosen by a hash. Which cases are of one patient is not published either; for the hippocampus,
with more volumes than people, that matters. Images of several sequences (brain tumour, prostate) are 4-D; one sequence
is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target, VolumeFiles
from sam_ft.data.splits import GroupSplit

_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com"


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        archive: Its name, such as Task09_Spleen.
        title: What it shows.
        md5: Of its archive.
        megabytes: About how large its archive is; volumes are compressed, so that it is no larger unpacked.
        classes: Of its labels, as `data.objects.classes` takes them.
        reading: Further settings of `data=nifti`.
    """

    archive: str
    title: str
    md5: str
    megabytes: float
    classes: str
    reading: str = ""

    @property
    def name(self) -> str:
        """What `sam-ft prepare` calls it."""
        return f"msd_{self.archive.lower()}"


TASKS = (
    Task(
        "Task01_BrainTumour",
        "MR of gliomas (FLAIR of four sequences)",
        md5="240a19d752f0d9e9101544901065d872",
        megabytes=7600,
        classes="{oedema: 1, non_enhancing: 2, enhancing: 3}",
        reading=" data.volume_index=0",
    ),
    Task(
        "Task02_Heart",
        "MR of the left atrium",
        md5="06ee59366e1e5124267b774dbd654057",
        megabytes=456,
        classes="{left_atrium: 1}",
    ),
    Task(
        "Task03_Liver",
        "CT of livers with tumours",
        md5="a90ec6c4aa7f6a3d087205e23d4e6397",
        megabytes=28926,
        classes="{liver: [1, 2], tumour: 2}",
        reading=" data.window=liver",
    ),
    Task(
        "Task04_Hippocampus",
        "MR of the hippocampus",
        md5="9d24dba78a72977dbd1d2e110310f31b",
        megabytes=28,
        classes="{anterior: 1, posterior: 2}",
    ),
    Task(
        "Task05_Prostate",
        "MR of the prostate (T2 of two sequences)",
        md5="35138f08b1efaef89d7424d2bcc928db",
        megabytes=240,
        classes="{peripheral_zone: 1, transition_zone: 2}",
        reading=" data.volume_index=0",
    ),
    Task(
        "Task06_Lung",
        "CT of lung cancer",
        md5="8afd997733c7fc0432f71255ba4e52dc",
        megabytes=9160,
        classes="{cancer: 1}",
        reading=" data.window=lung",
    ),
    Task(
        "Task07_Pancreas",
        "CT of the pancreas with tumours",
        md5="4f7080cfca169fa8066d17ce6eb061e4",
        megabytes=12300,
        classes="{pancreas: [1, 2], tumour: 2}",
        reading=" data.window=abdomen",
    ),
    Task(
        "Task08_HepaticVessel",
        "CT of vessels and tumours of the liver",
        md5="641d79e80ec66453921d997fbf12a29c",
        megabytes=9400,
        classes="{vessel: 1, tumour: 2}",
        reading=" data.window=liver",
    ),
    Task(
        "Task09_Spleen",
        "CT of the spleen",
        md5="410d4a301da4e5b2f6f86ec3ddba524e",
        megabytes=1610,
        classes="{spleen: 1}",
        reading=" data.window=abdomen",
    ),
    Task(
        "Task10_Colon",
        "CT of colon cancer",
        md5="bad7a188931dc2f6acf72b08eb6202d0",
        megabytes=6320,
        classes="{cancer: 1}",
        reading=" data.window=abdomen",
    ),
)


def convert(material: Material, target: Target) -> None:
    """The labelled cases of a task, divided by a hash of their names."""
    root = material.folder_with("dataset.json", "imagesTr", "labelsTr")
    cases = cases_of(root)
    part_of = GroupSplit(val=0.2, test=0.2).assign([case.name for case in cases])
    for part in ("train", "val", "test"):
        target.write_volumes(part, [case for case in cases if part_of[case.name] == part])


def cases_of(root: Path) -> list[VolumeFiles]:
    """The labelled cases, as dataset.json lists them.

    Raises:
        ValueError: It lists none, or one that is not there.
    """
    path = root / "dataset.json"
    try:
        listed = [(pair["image"], pair["label"]) for pair in json.loads(path.read_text(encoding="utf-8"))["training"]]
    except (ValueError, KeyError, TypeError) as err:
        raise ValueError(f"Expected a list `training` of images and labels in {path}, but: {err!r}") from err
    cases = []
    for image, label in listed:
        name = Path(image).name.removesuffix(".gz").removesuffix(".nii")
        case = VolumeFiles(name, root / "imagesTr" / Path(image).name, root / "labelsTr" / Path(label).name)
        for file in (case.image, case.labels):
            if not file.is_file():
                raise ValueError(f"Expected {file}, as {path} lists it, but there is no such file.")
        cases.append(case)
    if not cases:
        raise ValueError(f"Expected a list `training` of images and labels in {path}, but it is empty.")
    return sorted(cases, key=lambda case: case.name)


def recipe_of(task: Task) -> Recipe:
    """The recipe of a task."""
    return Recipe(
        name=task.name,
        title=f"{task.title} (Decathlon)",
        homepage="http://medicaldecathlon.com",
        licence="CC BY-SA 4.0",
        citation="M. Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022",
        files=(
            RemoteFile(
                f"{_URL}/{task.archive}.tar",
                f"{task.archive}.tar",
                megabytes=task.megabytes,
                checksum=f"md5:{task.md5}",
            ),
        ),
        unpacked_mb=task.megabytes,
        splits="A fifth of the labelled cases is val and a fifth test, chosen by a hash of their names; the published "
        "test images have no labels and are left out.",
        convert=convert,
        fit="data=nifti 'data.images={root}/*/images/*.nii.gz' 'data.labels={root}/*/labels/*.nii.gz' "
        f"'data.split.val=[val]' 'data.split.test=[test]' 'data.objects.classes={task.classes}'{task.reading}",
    )


RECIPES = tuple(map(recipe_of, TASKS))
