from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.coco import CocoSamples
from sam_ft.data.instance_folders import InstanceMaskFolder
from sam_ft.data.mixture import MixtureSamples, SetPart
from sam_ft.data.sa1b import Sa1bSamples
from sam_ft.data.source_files import data_digest
from sam_ft.data.synthetic import Synthetic
from sam_ft.data.tiff_stacks import TiffStacks
from sam_ft.types import Sample
from tests.data.test_instance_folders import save as save_instances
from tests.data.test_sa1b import described
from tests.data.test_sa1b import save as save_sa1b
from tests.data.test_tiff_stacks import save as save_stacks
from tests.doctor import healthy, layouts

LAYOUTS = [
    healthy.instances, healthy.classes, healthy.table, healthy.volumes,
    layouts.nnunet, layouts.decathlon, layouts.archives, layouts.series,
]  # fmt: skip
DESCRIBING = (".json", ".csv")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_image_and_every_label_is_among_the_files_of_a_part(
    tmp_path: Path, layout: Callable[[Path], healthy.DataSet]
) -> None:
    data = layout(tmp_path)
    splits = data.build()
    found = {path for part in (splits.train, splits.val, splits.test) for path in part.source_files}
    there = {path for path in data.root.rglob("*") if path.is_file() and path.suffix not in DESCRIBING}
    assert found == there


@pytest.mark.parametrize("layout", [healthy.instances, healthy.volumes], ids=lambda layout: layout.__name__)
def test_a_file_that_was_written_since_makes_another_digest(
    tmp_path: Path, layout: Callable[[Path], healthy.DataSet]
) -> None:
    data = layout(tmp_path)
    before = data_digest(data.build().val)
    assert data_digest(data.build().val) == before != data_digest(data.build().train)
    for path in data.build().val.source_files:
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert data_digest(data.build().val) != before
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for path in data.build().train.source_files:
        os.utime(path, (0, 0))
    assert data_digest(data.build().val) == before


def test_annotations_and_masks_of_their_own_are_files_of_labels(tmp_path: Path) -> None:
    save_instances(tmp_path / "folders", "a")
    save_sa1b(tmp_path / "sa1b", "b", described())
    save_stacks(tmp_path / "stacks", "c")
    (tmp_path / "coco").mkdir()
    Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)).save(tmp_path / "coco" / "d.png")
    square = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]]}
    content = {
        "images": [{"id": 7, "file_name": "d.png", "height": 9, "width": 9}],
        "annotations": [square], "categories": [{"id": 1, "name": "square"}],
    }  # fmt: skip
    (tmp_path / "coco" / "all.json").write_text(json.dumps(content))
    several: dict[str, Any] = {
        "folders": InstanceMaskFolder(tmp_path / "folders"),
        "sa1b": Sa1bSamples(tmp_path / "sa1b"),
        "stacks": TiffStacks(tmp_path / "stacks" / "images", tmp_path / "stacks" / "labels"),
        "coco": CocoSamples(tmp_path / "coco" / "all.json", tmp_path / "coco"),
    }
    for name, samples in several.items():
        there = {path for path in (tmp_path / name).rglob("*") if path.is_file()}
        assert there == set(samples.source_files), name


def test_a_mixture_and_boundaries_have_the_files_of_what_they_are_made_of(tmp_path: Path) -> None:
    one, other = (healthy.instances(tmp_path / name).build().val for name in "ab")
    mixture = MixtureSamples({"one": SetPart(one), "other": SetPart(other)})
    assert mixture.source_files == (*one.source_files, *other.source_files)
    assert BoundarySamples(one, boundary_px=2).source_files == one.source_files
    assert MixtureSamples({"one": SetPart(one), "drawn": SetPart(Drawn())}).source_files is None


class Drawn:
    """Samples without files, of which one may have another value in a field."""

    def __init__(self, changed: int | None = None, **fields: Any) -> None:
        val = Synthetic.splits(1, num_val=120, image_size=32).val
        assert val is not None
        self.samples, self.changed, self.fields = val, changed, fields

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        return replace(sample, **self.fields) if index == self.changed else sample


def test_samples_without_files_are_told_by_all_that_each_of_them_holds() -> None:
    sample = Drawn()[1]
    image, masks = sample.image.clone(), sample.masks.clone()
    image[3, 4, 0] += 1
    masks[0] = masks[0].roll(1, dims=0)  # of the same area
    ignored = torch.zeros(masks.shape[1:], dtype=torch.bool)
    changes: list[dict[str, Any]] = [
        {"image": image}, {"masks": masks}, {"ignored": ignored}, {"ignored": ~ignored}, {"name": "another"},
        {"class_names": ("another",) * len(masks)}, {"pixel_mm": (1.0, 1.0)},
    ]  # fmt: skip
    digests = [data_digest(Drawn()), *(data_digest(Drawn(1, **change)) for change in changes)]
    assert data_digest(Drawn()) == digests[0] and len(set(digests)) == len(digests)
