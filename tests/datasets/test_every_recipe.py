"""Each recipe on a miniature of its data set: from archives, from what they unpack to, from a server."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sam_ft.cli import find_configs, find_folder
from sam_ft.data.preparing.archives import is_archive
from sam_ft.data.preparing.preparation import Order, prepare
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.data.preparing.record import Record, fit_command
from sam_ft.data.splits import DataSplits
from sam_ft.download import Patience

QUICK = Patience(timeout_s=5, retries=2, pause_s=0.001)
Read = Callable[[Record], DataSplits]

SAMPLES = {
    "acdc": {"train": 30, "val": 30, "test": 6},
    "camvid": {"train": 3, "val": 1, "test": 1},
    "davis2017": {"train": 4, "val": 2},
    "drive": {"train": 5, "val": 1, "test": 2},
    "kvasir_seg": {"train": 8, "val": 1, "test": 1},
    "msd_task09_spleen": {"train": 6, "val": 2, "test": 2},
    "nuclei": {"train": 8, "val": 2, "test": 2},
}
"""How many samples each part of a miniature has: images, or slices of volumes."""

OBJECTS = {
    "acdc": {"right_ventricle": 66, "myocardium": 66, "left_ventricle": 66},
    "camvid": {"Sky": 5, "Car": 5},
    "davis2017": {"object": 12},
    "drive": {"background": 8, "vessel": 8},
    "kvasir_seg": {"polyp": 20},
    "msd_task09_spleen": {"spleen": 10},
    "nuclei": {"nucleus": 23},
}
"""And how many objects of each class all parts have."""

EVERY = [*SAMPLES, "coco_val2017", "livecell", "trashcan"]
"""Also those that stay in COCO's format: see test_coco_recipes.py."""


def parts_of(splits: DataSplits) -> dict[str, Any]:
    return {part: samples for part in ("train", "val", "test") if (samples := getattr(splits, part)) is not None}


def expect_right(name: str, splits: DataSplits) -> None:
    parts = parts_of(splits)
    assert {part: len(samples) for part, samples in parts.items()} == SAMPLES[name]
    every = [sample for samples in parts.values() for sample in samples]
    assert Counter(word for sample in every for word in sample.class_names) == OBJECTS[name]
    assert all(sample.masks.flatten(1).any(1).all() for sample in every)


def unpacked(folder: Path) -> Path:
    """What people do by hand."""
    place = folder.parent / f"{folder.name}_unpacked"
    for path in folder.iterdir():
        if path.suffix in (".zip", ".tar"):
            shutil.unpack_archive(path, place / path.stem, filter="data" if path.suffix == ".tar" else None)
        else:
            place.mkdir(exist_ok=True)
            shutil.copy(path, place)
    return place


@pytest.mark.parametrize("name", SAMPLES)
def test_archives_in_a_folder_are_prepared_and_read_by_their_config(name: str, kitchen: Any, read: Read) -> None:
    record = kitchen.prepare(name)
    assert record.is_new
    expect_right(name, read(record))
    left = {path.name for path in record.folder.iterdir()}
    assert left <= {"train", "val", "test", "classes.json", "dataset.json", "README.md"}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_the_archives_unpack_to_gives_the_same(name: str, kitchen: Any, published: Any, read: Read) -> None:
    record = kitchen.prepare(name, unpacked(published(name)))
    expect_right(name, read(record))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_download_that_breaks_off_and_is_slow_gives_the_same(
    name: str, recipes: dict[str, Recipe], published: Any, publisher: Any, tmp_path: Path, read: Read
) -> None:
    folder = published(name)
    site = publisher(folder, breaks_off=True, pause_s=0.002)
    record = prepare(site.recipe(recipes[name], folder), Order(tmp_path / "out"), patience=QUICK)
    expect_right(name, read(record))
    assert Counter(site.behaviour.asked) == {file.name: 2 for file in recipes[name].files}
    assert {path.name for path in (record.folder / "downloads").iterdir() if path.suffix != ".lock"} == {
        file.name for file in recipes[name].files
    }


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("instead", [b"<!DOCTYPE html><p>Please log in</p>", bytes(5000)], ids=["page", "zeros"])
def test_wrong_bytes_are_refused_and_removed(
    name: str, instead: bytes, recipes: dict[str, Recipe], published: Any, publisher: Any, tmp_path: Path
) -> None:
    folder = published(name)
    site = publisher(folder, instead=instead)
    with pytest.raises(ValueError) as caught:
        prepare(site.recipe(recipes[name], folder), Order(tmp_path / "out"), patience=QUICK)
    assert "removed" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not (tmp_path / "out" / "downloads" / recipes[name].files[0].name).exists()
    site.behaviour.instead = None
    for file in recipes[name].files[1:]:  # which were fetched before the first was found to be wrong, or not at all
        assert not (tmp_path / "out" / "downloads" / file.name).exists()
    assert prepare(site.recipe(recipes[name], folder), Order(tmp_path / "out"), patience=QUICK).is_new


@pytest.mark.parametrize("name", EVERY)
def test_an_archive_that_is_cut_off_is_refused(
    name: str, recipes: dict[str, Recipe], published: Any, tmp_path: Path
) -> None:
    folder = published(name)
    archive = folder / recipes[name].files[0].name
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    recipe = replace(recipes[name], files=tuple(replace(file, checksum=None) for file in recipes[name].files))
    with pytest.raises(ValueError, match=f"Expected a whole zip or tar archive in {archive}"):
        prepare(recipe, Order(tmp_path / "out", sources=(folder,)))
    assert archive.is_file()


@pytest.mark.parametrize("name", [name for name in SAMPLES if name in ("acdc", "kvasir_seg", "msd_task09_spleen")])
def test_an_archive_with_another_checksum_than_published_is_refused(
    name: str, recipes: dict[str, Recipe], published: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="it is not the published file"):
        prepare(recipes[name], Order(tmp_path / "out", sources=(published(name),)))


@pytest.mark.parametrize("name", EVERY)
def test_a_second_call_does_nothing(name: str, kitchen: Any) -> None:
    first = kitchen.prepare(name)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    second = kitchen.prepare(name, first.folder.parent / "published")
    assert not second.is_new
    assert (second.counts, second.fit_command) == (first.counts, first.fit_command)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before


@pytest.mark.parametrize("name", SAMPLES)
def test_a_limit_holds_for_each_part(name: str, kitchen: Any, read: Read) -> None:
    record = kitchen.prepare(name, limit=1)
    for held in record.counts.values():
        assert held.get("images", held.get("volumes")) == 1
    assert set(record.counts) == set(SAMPLES[name])
    assert set(parts_of(read(record))) == set(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_no_sample_is_in_two_parts(name: str, kitchen: Any, read: Read) -> None:
    parts = parts_of(read(kitchen.prepare(name)))
    names = [sample.name.removeprefix(f"{part}-") for part, samples in parts.items() for sample in samples]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", EVERY)
def test_a_source_of_something_else_says_what_was_expected(
    name: str, recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.txt").write_text("sand")
    with pytest.raises(ValueError, match="Expected .*holiday.*--source") as caught:
        prepare(recipes[name], Order(tmp_path / "out", sources=(tmp_path / "holiday",)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_the_folder_says_where_it_is_from(name: str, kitchen: Any, recipes: dict[str, Recipe]) -> None:
    record, recipe = kitchen.prepare(name), recipes[name]
    content = json.loads((record.folder / "dataset.json").read_text())
    readme = (record.folder / "README.md").read_text()
    for word in (recipe.licence, recipe.citation, recipe.homepage, recipe.splits):
        assert word in readme and word in content.values()
    assert {file["name"] for file in content["files"]} >= {
        file.name for file in recipe.files if is_archive(Path(file.name))
    }
    for file in content["files"]:
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["checksum"]) and file["checksum"] in readme
    assert record.fit_command in readme


# What holds without any data


def test_every_file_in_datasets_is_a_recipe_of_the_program(recipes: dict[str, Recipe]) -> None:
    files = {path.stem for path in find_folder("datasets").glob("*.py")}
    assert {name if name in files else name.partition("_")[0] for name in recipes} == files


def test_every_recipe_says_what_its_user_has_to_know(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        assert recipe.name == name
        assert all((recipe.title, recipe.licence, recipe.citation, recipe.splits)) and recipe.unpacked_mb > 0
        assert recipe.homepage.startswith("http")
        assert all(file.url.startswith("http") and file.megabytes > 0 for file in recipe.files)
        for file in recipe.files:
            assert file.checksum is None or re.fullmatch(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.checksum)


def test_every_command_to_go_on_with_composes(recipes: dict[str, Recipe]) -> None:
    for recipe in recipes.values():
        words = shlex.split(fit_command(recipe.fit, Path("my folder", recipe.name)))
        try:
            with initialize_config_dir(str(find_configs()), version_base="1.3"):
                compose("fit", words[2:])
        finally:
            GlobalHydra.instance().clear()
