"""The recipes that leave their data in COCO's format, and SA-1B in its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.preparing.coco import read_coco
from sam_ft.data.preparing.preparation import Order, prepare
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.data.splits import DataSplits
from sam_ft.download import Patience

QUICK = Patience(timeout_s=5, retries=2, pause_s=0.001)
PARTS = {
    "coco_val2017": {"train": 6, "val": 2, "test": 2},
    "livecell": {"train": 3, "val": 3, "test": 3},
    "trashcan": {"train": 6, "val": 2},
}
Published = Callable[[str], Path]


def expect_coco(folder: Path, parts: dict[str, int]) -> None:
    """Each part has its images, two annotations for each, and nothing of another part."""
    seen: set[str] = set()
    for part, num_images in parts.items():
        content = json.loads((folder / part / "annotations.json").read_text())
        names = [image["file_name"] for image in content["images"]]
        assert len(names) == num_images and not seen & set(names)
        assert {path.name for path in (folder / part / "images").iterdir()} == set(names)
        assert sorted(entry["image_id"] for entry in content["annotations"]) == sorted(
            image["id"] for image in content["images"] for _ in range(2)
        )
        assert content["annotations"][1]["segmentation"] == [[14, 4, 24, 4, 24, 14, 14, 14]]
        assert content["categories"] == [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
        for image in content["images"]:
            with Image.open(folder / part / "images" / image["file_name"]) as opened:
                assert opened.size == (image["width"], image["height"])
        seen |= set(names)
    assert {path.name for path in folder.iterdir() if path.is_dir()} <= {*parts, "downloads"}


@pytest.mark.parametrize("name", PARTS)
def test_archives_in_a_folder_are_divided_into_parts(name: str, kitchen: Any) -> None:
    record = kitchen.prepare(name)
    assert record.counts == {part: {"images": n, "objects": 2 * n} for part, n in PARTS[name].items()}
    expect_coco(record.folder, PARTS[name])


@pytest.mark.parametrize("name", PARTS)
def test_the_printed_command_reads_every_part(name: str, kitchen: Any, read: Callable[..., DataSplits]) -> None:
    splits = read(kitchen.prepare(name))
    samples = {part: getattr(splits, part) for part in PARTS[name]}
    assert {part: len(held) for part, held in samples.items()} == PARTS[name]
    for held in samples.values():
        assert held[0].class_names == ("person", "car")
        assert held[0].masks[1].sum() == 100 and held[0].masks[1, 4:14, 14:24].all()


@pytest.mark.parametrize("name", PARTS)
def test_what_the_archives_unpack_to_gives_the_same(name: str, kitchen: Any, published: Published) -> None:
    folder = published(name)
    for archive in folder.glob("*.zip"):
        shutil.unpack_archive(archive, folder)
        archive.unlink()
    expect_coco(kitchen.prepare(name, folder).folder, PARTS[name])


@pytest.mark.parametrize("name", PARTS)
def test_a_download_that_breaks_off_and_is_slow_gives_the_same(
    name: str, recipes: dict[str, Recipe], published: Published, publisher: Any, tmp_path: Path
) -> None:
    folder = published(name)
    site = publisher(folder, breaks_off=True, pause_s=0.002)
    record = prepare(site.recipe(recipes[name], folder), Order(tmp_path / "out"), patience=QUICK)
    expect_coco(record.folder, PARTS[name])


@pytest.mark.parametrize("name", PARTS)
def test_a_limit_counts_images_of_each_part(name: str, kitchen: Any) -> None:
    record = kitchen.prepare(name, limit=1)
    assert record.counts == {part: {"images": 1, "objects": 2} for part in PARTS[name]}
    expect_coco(record.folder, dict.fromkeys(PARTS[name], 1))


def test_an_image_that_the_annotations_name_and_that_is_not_there_is_an_error(
    kitchen: Any, published: Published
) -> None:
    folder = published("livecell")
    shutil.unpack_archive(folder / "images.zip", folder)
    (folder / "images.zip").unlink()
    next(folder.glob("images/livecell_test_images/A172/*_1.tif")).unlink()
    with pytest.raises(ValueError, match="Expected the image A172_Phase_test_1.tif, which the annotations name"):
        kitchen.prepare("livecell", folder)


def test_videos_that_both_published_parts_of_trashcan_share_are_said(
    kitchen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    kitchen.prepare("trashcan")
    assert "1 of 7 videos have frames in both published parts." in caplog.text


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"images": [], "annotations": []}', '{"images": [{}], "annotations": [], "categories": []}']
)
def test_annotations_of_another_kind_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=f"as COCO has them in {tmp_path / 'a.json'}"):
        read_coco(tmp_path / "a.json")


def test_an_image_named_twice_is_refused_and_a_stray_annotation_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = {"id": 1, "file_name": "a.jpg"}
    content = {"images": [image], "annotations": [{"image_id": 2}, {"image_id": 1}], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert len(read_coco(tmp_path / "a.json").only(["a.jpg"]).annotations) == 1
    assert "a.json: 1 annotations belong to no image" in caplog.text
    (tmp_path / "a.json").write_text(json.dumps(content | {"images": [image, {"id": 3, "file_name": "deep/a.jpg"}]}))
    with pytest.raises(ValueError, match="each image once"):
        read_coco(tmp_path / "a.json")


# SA-1B


def photographs(folder: Path) -> set[str]:
    for image in folder.glob("*/*.jpg"):
        assert json.loads(image.with_suffix(".json").read_text())["image"]["file_name"] == image.name
    return {path.stem for path in folder.glob("*/*.jpg")}


def links(folder: Path, url: str) -> Path:
    path = folder.parent / "links.txt"
    lines = ["file_name\tcdn_link", *(f"{shard.name}\t{url}/{shard.name}" for shard in sorted(folder.iterdir()))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_first_archives_of_the_users_list_are_fetched(
    recipes: dict[str, Recipe], published: Published, publisher: Any, tmp_path: Path
) -> None:
    folder = published("sa1b")
    site = publisher(folder, breaks_off=True)
    record = prepare(
        recipes["sa1b"], Order(tmp_path / "out", (links(folder, site.url),), limit=2), patience=QUICK
    )  # fmt: skip
    assert set(site.behaviour.asked) == {"sa_000000.tar", "sa_000001.tar"}
    assert photographs(record.folder) == {f"sa_{number}" for number in range(1, 11)}
    assert record.counts == {"train": {"images": 8}, "val": {"images": 1}, "test": {"images": 1}}


def test_the_printed_command_reads_the_photographs(kitchen: Any, read: Callable[..., DataSplits]) -> None:
    splits = read(kitchen.prepare("sa1b"))
    assert splits.test is not None
    assert [len(splits.train), len(splits.val), len(splits.test)] == [13, 1, 1]
    expected = np.zeros(24 * 32, dtype=bool)
    expected[100:150] = True
    assert (splits.val[0].masks[0].numpy() == expected.reshape(32, 24).T).all()


def test_archives_that_are_here_and_what_they_unpack_to_are_taken(
    kitchen: Any, recipes: dict[str, Recipe], published: Published, tmp_path: Path
) -> None:
    folder = published("sa1b")
    assert len(photographs(kitchen.prepare("sa1b", folder).folder)) == 15
    for archive in folder.iterdir():
        shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    record = prepare(recipes["sa1b"], Order(tmp_path / "again", (tmp_path / "unpacked",), limit=1))
    assert record.counts == {part: {"images": 1} for part in ("train", "val", "test")}


def test_a_link_that_has_expired_is_an_error_that_may_be_tried_again(
    recipes: dict[str, Recipe], published: Published, publisher: Any, tmp_path: Path
) -> None:
    folder = published("sa1b")
    site = publisher(folder, instead=b"<?xml version='1.0'?><Error>Request has expired</Error>")
    order = Order(tmp_path / "out", (links(folder, site.url),), limit=1)
    with pytest.raises(ValueError, match="sa_000000.tar at .*, but got something else, which was removed"):
        prepare(recipes["sa1b"], order, patience=QUICK)
    site.behaviour.instead = None
    assert prepare(recipes["sa1b"], order, patience=QUICK).is_new


@pytest.mark.parametrize("line", ["sa_000000.tar", "../sa.tar\thttp://a", "sa.tar\tftp://a", "hello world", ""])
def test_a_list_of_something_else_is_refused(recipes: dict[str, Recipe], tmp_path: Path, line: str) -> None:
    (tmp_path / "links.txt").write_text(f"file_name\tcdn_link\n{line}\n")
    with pytest.raises(ValueError, match="Expected .*links.txt") as caught:
        prepare(recipes["sa1b"], Order(tmp_path / "out", (tmp_path / "links.txt",)))
    assert "\n" not in str(caught.value)


def test_too_little_room_for_an_archive_is_said_before_it_is_fetched(
    recipes: dict[str, Recipe], published: Published, publisher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = published("sa1b")
    site = publisher(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000_000_000))
    with pytest.raises(ValueError, match="Expected about 48.4 GB free"):
        prepare(recipes["sa1b"], Order(tmp_path / "out", (links(folder, site.url),), limit=2))
    assert site.behaviour.asked == []


def test_a_mask_without_its_photograph_is_named(kitchen: Any, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "sa_1.json").write_text("{}")
    (tmp_path / "source" / "sa_2.json").write_text("{}")
    Image.new("RGB", (4, 4)).save(tmp_path / "source" / "sa_1.jpg")
    with pytest.raises(ValueError, match="sa_2.json beside it"):
        kitchen.prepare("sa1b", tmp_path / "source")


def test_the_recipe_without_a_list_says_how_to_get_one(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected --source for sa1b: accept the licence at https://ai.meta.com"):
        prepare(replace(recipes["sa1b"]), Order(tmp_path / "out"))
