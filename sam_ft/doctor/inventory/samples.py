"""Any other data set, by its samples: JSON annotations, a file for each object, drawn data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

from sam_ft.data.coco import CocoSamples
from sam_ft.data.instance_folders import InstanceMaskFolder
from sam_ft.data.labelled_images import ImageCase, LabelledImages
from sam_ft.data.medsam.images import NpyImage
from sam_ft.data.nnunet.images import NnunetImage
from sam_ft.data.sa1b import Sa1bSamples
from sam_ft.data.splits import DataSplits, Part, SampleDataset
from sam_ft.doctor.cases import Case, Inventory


def sample_cases(splits: DataSplits) -> Inventory:
    """A case for each sample of each part; nothing is read yet."""
    cases = []
    parts: tuple[Part, ...] = get_args(Part)
    for part in parts:
        samples: SampleDataset | None = getattr(splits, part)
        if samples is None:
            continue
        for index in range(len(samples)):
            path, label = _files(samples, index)
            name = f"{part} {index}" if path is None else path.stem
            read = partial(samples.__getitem__, index)
            cases.append(Case(name=name, part=part, group=f"{part} {index}", image=path, label=label, sample=read))
    return Inventory(cases=cases)


def _files(samples: SampleDataset, index: int) -> tuple[Path | None, Path | None]:
    """The files that a sample's image and its labels are read from, where the data set tells."""
    match samples:
        case CocoSamples():
            return samples.folder / samples.images[index].file_name, None
        case Sa1bSamples():
            return samples.pairs[index][0], None
        case InstanceMaskFolder():
            return samples.files[index][0], None
        case LabelledImages():
            return _image_of(samples.cases[index]), samples.cases[index].label_path
    return None, None


def _image_of(case: ImageCase) -> Path | None:
    """None of an archive, which is no image file."""
    match case:
        case NnunetImage():
            return case.files[0]
        case NpyImage():
            return case.image_path
    return None
