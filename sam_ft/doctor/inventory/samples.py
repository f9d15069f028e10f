"""Any other data set, by its samples: JSON annotations, a file for each object, drawn data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

from sam_ft.data.coco import CocoSamples
from sam_ft.data.instance_folders import InstanceMaskFolder
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
            path = _image_file(samples, index)
            name = f"{part} {index}" if path is None else path.stem
            read = partial(samples.__getitem__, index)
            cases.append(Case(name=name, part=part, group=f"{part} {index}", image=path, sample=read))
    return Inventory(cases=cases)


def _image_file(samples: SampleDataset, index: int) -> Path | None:
    """The file that a sample's image is read from, where the data set tells."""
    match samples:
        case CocoSamples():
            return samples.folder / samples.images[index].file_name
        case Sa1bSamples():
            return samples.pairs[index][0]
        case InstanceMaskFolder():
            return samples.files[index][0]
    return None
