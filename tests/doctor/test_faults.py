"""One fault at a time in a healthy data set: exactly the finding of its name appears."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam_ft.data.instance_folders import instance_folders_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.synthetic import Synthetic
from sam_ft.doctor.examination import Plan, examine
from sam_ft.doctor.findings import Severity
from sam_ft.doctor.inventory.listing import inventory_of
from tests.doctor import faults_of_images, faults_of_volumes, healthy
from tests.doctor.healthy import DataSet

FAULTS: dict[Callable[[Path], DataSet], dict[str, Callable[[DataSet], None]]] = {
    healthy.instances: faults_of_images.INSTANCES,
    healthy.classes: faults_of_images.CLASSES,
    healthy.table: faults_of_images.TABLE,
    healthy.volumes: faults_of_volumes.VOLUMES,
}
CASES = [
    pytest.param(make, code, plant, id=f"{make.__name__}-{code}")
    for make, plants in FAULTS.items()
    for code, plant in plants.items()
]


def codes(data: DataSet) -> list[str]:
    return [finding.code for finding in data.examine().findings]


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
def test_nothing_is_said_of_a_healthy_data_set(make: Callable[[Path], DataSet], tmp_path: Path) -> None:
    examination = make(tmp_path).examine()
    assert examination.findings == ()
    assert len(examination.seen) in (10, 24)


@pytest.mark.parametrize("make, code, plant", CASES)
def test_a_planted_fault_is_found_and_nothing_else(
    make: Callable[[Path], DataSet], code: str, plant: Callable[[DataSet], None], tmp_path: Path
) -> None:
    data = make(tmp_path)
    plant(data)
    assert codes(data) == [code]


def test_drawn_data_has_no_error_and_no_warning() -> None:
    splits = Synthetic.splits(num_train=12, num_val=6, num_test=6, image_size=128, seed=0)
    examination = examine(inventory_of(partial(lambda: splits)), Plan(image_size=512))
    assert [finding for finding in examination.findings if finding.severity <= Severity.WARNING] == []


def test_rows_and_columns_that_are_exchanged_are_found(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    faults_of_images.turned_labels(data)
    (finding,) = data.examine().findings
    assert finding.code == "mirrored_labels" and "rows and columns" in finding.text


def test_a_shift_is_told_by_its_way_and_its_size(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    healthy.change(data.files("labels"), lambda labels: np.roll(labels, (-4, 3), axis=(0, 1)))
    (finding,) = data.examine().findings
    assert finding.code == "shifted_labels"
    assert (
        "% of the longer side to the right and 4." in finding.text and "% of the longer side to the top" in finding.text
    )


def test_few_shifted_labels_among_many_prove_nothing(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    healthy.change(data.files("labels")[:6], lambda labels: np.roll(labels, 5, axis=1))
    assert codes(data) == []


def test_broken_files_do_not_keep_the_others_from_being_looked_at(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    faults_of_images.unreadable_image(data)
    data.files("labels")[3].write_bytes(b"")
    examination = data.examine()
    found = {finding.code: [each.where for each in finding.found] for finding in examination.findings}
    assert found == {
        "unreadable_image": [str(data.files("images")[0])],
        "unreadable_label": [str(data.files("labels")[3])],
    }
    assert sum(each.label is not None for each in examination.seen) == 23


def test_a_mask_file_that_cannot_be_read_is_found_in_a_layout_that_is_read_by_its_samples(tmp_path: Path) -> None:
    for number in range(24):
        image, labels = healthy.picture(number)
        healthy.save(tmp_path / f"case-{number}x" / "images" / "image.png", image)
        for value in range(1, labels.max() + 1):
            mask = (labels == value).astype(np.uint8)
            healthy.save(tmp_path / f"case-{number}x" / "masks" / f"{value}.png", mask)
    build = partial(instance_folders_splits, root=tmp_path, split=GroupSplit())
    whole = examine(inventory_of(build), Plan())
    assert [finding.code for finding in whole.findings if finding.severity <= Severity.WARNING] == []
    (tmp_path / "case-3x" / "masks" / "1.png").write_bytes(b"no picture")
    broken = examine(inventory_of(build), Plan())
    assert [finding.code for finding in broken.findings if finding.severity == Severity.ERROR] == ["unreadable_label"]


def test_of_a_large_data_set_a_part_is_drawn_by_the_seed(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    data.plan["limit"] = 10
    first, again = data.examine(), data.examine()
    assert [each.case.name for each in first.seen] == [each.case.name for each in again.seen]
    assert len(first.seen) == 10 and len(first.inventory.cases) == 24
    data.plan["seed"] = 1
    assert [each.case.name for each in data.examine().seen] != [each.case.name for each in first.seen]


def test_pictures_are_not_kept(tmp_path: Path) -> None:
    examination = healthy.instances(tmp_path).examine()
    assert all(each.views == () for each in examination.seen)
    assert len(examination.examples) == 6
    assert examination.brightness.sum() == 24 * 96 * 96 * 3


def test_channels_are_those_that_the_reader_shows(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    for path in data.files("images"):
        image = healthy.read(path)
        dark = np.zeros_like(image)
        np.save(path.with_suffix(".npy"), np.stack([dark, image, image, image, dark], axis=-1))
        path.unlink()
    assert codes(data) == ["unreadable_image"]
    data.told(channels=[3, 2, 1])
    examination = data.examine()
    assert examination.findings == () and len(examination.examples) == 6
    assert examination.brightness[0] < examination.brightness.sum() / 100
    data.told(channels=[3, 2, 7])
    assert codes(data) == ["unreadable_image"]


def test_pages_of_a_tiff_file_are_channels_where_the_reader_takes_them_so(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    for path in data.files("images"):
        image = healthy.read(path)
        tifffile.imwrite(
            path.with_suffix(".tif"), np.stack([image] * 5).astype(np.uint16) * 9, photometric="minisblack"
        )
        path.unlink()
    data.told(channels=[4, 2, 1])
    assert codes(data) == []
    assert len(data.build().train[0].image.unique()) > 100


def test_a_range_that_is_given_is_the_range_of_the_pictures(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    faults_of_images.dim(data)
    data.told(range=[0, 32])
    examination = data.examine()
    assert examination.findings == ()
    assert examination.brightness[100:].sum() > examination.brightness.sum() / 10


def test_channels_are_chosen_of_images_whose_labels_are_read_by_samples_too(tmp_path: Path) -> None:
    for number in range(24):
        image, labels = healthy.picture(number)
        folder = tmp_path / f"case-{number}x"
        healthy.save(folder / "masks" / "1.png", (labels == 1).astype(np.uint8))
        (folder / "images").mkdir()
        np.save(folder / "images" / "image.npy", np.repeat(image[..., None], 5, axis=-1))
    build = partial(instance_folders_splits, root=tmp_path, split=GroupSplit(), channels=[0, 1, 2])
    seen = examine(inventory_of(build), Plan()).seen
    assert all(each.problems == () and each.image is not None for each in seen)


def test_a_table_is_read_as_its_reader_does(tmp_path: Path) -> None:
    data = healthy.table(tmp_path)
    table = data.root / "cells.csv"
    table.write_text(table.read_text().replace("image,mask", "picture,mask"))
    with pytest.raises(ValueError, match=r"cells\.csv, but got no image") as said:
        data.examine()
    with pytest.raises(ValueError) as refused:
        data.build()
    assert str(said.value) == str(refused.value)


def test_a_group_that_matches_no_path_is_refused(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    for rule in ("(patient[0-9]+)", "("):
        data.plan["group"] = rule
        with pytest.raises(ValueError, match="Expected `group`"):
            data.examine()


def test_the_docs_name_every_finding_that_is_planted_here() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert [code for plants in FAULTS.values() for code in plants if f"`{code}`" not in docs] == []
