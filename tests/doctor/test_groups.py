"""The parts that the doctor tells are those of the data set's own rule of groups."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PIL import Image

from sam_ft.data.image_mask import image_mask_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.doctor.inventory.listing import inventory_of
from tests.doctor.healthy import picture


def test_images_of_a_group_are_in_one_part_as_in_training(tmp_path: Path) -> None:
    for patient in range(6):
        for scan in range(3):
            image, labels = picture(3 * patient + scan)
            for kind, pixels in (("images", image), ("labels", labels)):
                (tmp_path / kind).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / kind / f"p{patient}_{scan}.png")
    arguments = {"images": "images", "labels": "labels", "min_area_px": 1, "class_name": "cell", "stretch": False}
    split = GroupSplit(val=0.2, test=0.2)
    build = partial(image_mask_splits, root=tmp_path, split=split, group="(p[0-9])_", **arguments)
    told = {case.name: case.part for case in inventory_of(build).cases}
    splits = build()
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    for part, samples in parts.items():
        assert samples is not None
        names = {samples[index].name for index in range(len(samples))}
        assert names == {name for name, own in told.items() if own == part}
        assert len({name[:2] for name in names}) == len(names) / 3
