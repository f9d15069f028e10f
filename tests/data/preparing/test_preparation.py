"""What every preparation does, with a recipe of one text file a part."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.preparation import Order, prepare
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target, VolumeFiles, write_png


def convert(material: Material, target: Target) -> None:
    for path in target.progress("train", material.files(".txt")):
        target.take(path, target.folder / "train" / path.name)
        target.count("train", images=1)


RECIPE = Recipe(
    name="words",
    title="Words",
    homepage="https://example.org",
    licence="CC0",
    citation="A. Author, Words, 2020",
    files=(RemoteFile("https://example.org/words.zip", "words.zip", megabytes=1),),
    unpacked_mb=1,
    splits="All are train.",
    convert=convert,
    fit="data=words data.root={root}",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    with zipfile.ZipFile(tmp_path / "source" / "words.zip", "w") as archive:
        for word in ("one", "three", "two"):
            archive.writestr(f"words/{word}.txt", word)
    return tmp_path / "source"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "my data" / "words"


def failure(recipe: Recipe, order: Order) -> str:
    with pytest.raises(ValueError) as caught:
        prepare(recipe, order)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_archive_alone_is_a_source_too(source: Path, output: Path) -> None:
    record = prepare(RECIPE, Order(output, sources=(source / "words.zip",)))
    assert record.counts == {"train": {"images": 3}}
    assert (output / "train" / "three.txt").read_text() == "three"
    assert record.fit_command == f"sam-ft fit data=words 'data.root={output}'"
    assert (source / "words.zip").is_file()


def test_files_of_the_user_are_copied_and_not_linked(tmp_path: Path, output: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.txt").write_text("one")
    prepare(RECIPE, Order(output, sources=(tmp_path / "mine",)))
    (output / "train" / "one.txt").write_text("changed")
    assert (tmp_path / "mine" / "one.txt").read_text() == "one"


def test_a_preparation_that_was_stopped_goes_on_where_it_stopped(source: Path, output: Path) -> None:
    written: list[str] = []

    def stops(material: Material, target: Target) -> None:
        convert(material, replace(target, limit=2))
        raise KeyboardInterrupt

    def notes(material: Material, target: Target) -> None:
        before = {path: path.stat().st_ino for path in (target.folder / "train").iterdir()}
        convert(material, target)
        written.extend(path.name for path in (target.folder / "train").iterdir() if path not in before)
        assert all(path.stat().st_ino == number for path, number in before.items())

    with pytest.raises(KeyboardInterrupt):
        prepare(replace(RECIPE, convert=stops), Order(output, sources=(source,)))
    assert not (output / "dataset.json").exists()
    record = prepare(replace(RECIPE, convert=notes), Order(output, sources=(source,)))
    assert written == ["two.txt"] and record.counts == {"train": {"images": 3}}
    assert {path.name for path in output.iterdir()} == {"train", "README.md", "dataset.json"}


def test_another_limit_than_before_is_refused(source: Path, output: Path) -> None:
    prepare(RECIPE, Order(output, sources=(source,), limit=2))
    assert "made with --limit 2" in failure(RECIPE, Order(output, sources=(source,)))
    assert "made with --limit 2" in failure(RECIPE, Order(output, sources=(source,), limit=3))
    assert not prepare(RECIPE, Order(output, sources=(source,), limit=2)).is_new


def test_what_was_begun_from_another_source_is_not_gone_on_with(source: Path, output: Path, tmp_path: Path) -> None:
    def stops(material: Material, target: Target) -> None:
        convert(material, target)
        raise ValueError("a broken file")

    assert failure(replace(RECIPE, convert=stops), Order(output, sources=(source,))) == "a broken file"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "one.txt").write_text("another one")
    for order in (Order(output, sources=(tmp_path / "other",)), Order(output, sources=(source,), limit=1)):
        assert "go on with the same --source and --limit" in failure(RECIPE, order)
    assert prepare(RECIPE, Order(output, sources=(source,))).is_new


def test_an_order_of_which_nothing_was_written_yet_may_change(source: Path, output: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found nothing of it" in failure(RECIPE, Order(output, sources=(tmp_path / "empty",), limit=1))
    assert prepare(RECIPE, Order(output, sources=(source,))).counts == {"train": {"images": 3}}


def test_an_archive_that_was_replaced_is_unpacked_anew(source: Path, output: Path) -> None:
    def refuses(material: Material, target: Target) -> None:
        raise ValueError("not this one")

    failure(replace(RECIPE, convert=refuses), Order(output, sources=(source,)))
    with zipfile.ZipFile(source / "words.zip", "w") as archive:
        archive.writestr("four.txt", "four")
    assert prepare(RECIPE, Order(output, sources=(source,))).counts == {"train": {"images": 1}}


@pytest.mark.parametrize("name", ["holiday.txt", "dataset.json"])
def test_a_folder_with_something_else_is_left_alone(source: Path, output: Path, name: str) -> None:
    output.mkdir(parents=True)
    (output / name).write_text('{"name": "letters"}')
    assert "holds something else" in failure(RECIPE, Order(output, sources=(source,)))
    assert [path.name for path in output.iterdir()] == [name]


def test_an_output_inside_the_source_is_refused(source: Path) -> None:
    assert "outside of the source" in failure(RECIPE, Order(source / "words", sources=(source,)))
    assert "outside of the source" in failure(RECIPE, Order(source, sources=(source,)))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_1_is_refused(source: Path, output: Path, limit: int) -> None:
    assert "Expected `limit` of 1 or more" in failure(RECIPE, Order(output, sources=(source,), limit=limit))


def test_a_source_that_is_not_there_is_named(tmp_path: Path, output: Path) -> None:
    assert f"{tmp_path / 'nowhere'}, but nothing is there" in failure(RECIPE, Order(output, (tmp_path / "nowhere",)))
    assert not output.exists()


def test_what_its_user_has_to_fetch_is_said_in_one_line(output: Path) -> None:
    recipe = replace(RECIPE, by_hand="log in at https://example.org and give --source words.zip.")
    expected = "Expected --source for words: log in at https://example.org and give --source words.zip."
    assert failure(recipe, Order(output)) == expected
    assert not output.exists()


def test_too_little_room_is_said_before_anything_is_fetched(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_100_000))
    message = failure(replace(RECIPE, unpacked_mb=1000), Order(output))
    assert "Expected about 1.2 GB free" in message and "--output on another disk" in message
    assert not output.exists()


def test_an_archive_that_holds_far_more_than_the_data_set_is_refused(source: Path, output: Path) -> None:
    with zipfile.ZipFile(source / "words.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(30_000_000))
    assert "it is not that data set" in failure(RECIPE, Order(output, sources=(source,)))
    assert not (output / ".unpacked" / "bomb").exists()


def test_a_data_set_of_which_nothing_is_found_is_an_error(tmp_path: Path, output: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found nothing of it" in failure(RECIPE, Order(output, sources=(tmp_path / "empty",)))
    assert not (output / "dataset.json").exists()


def test_a_list_of_links_is_only_one_where_the_recipe_knows_some(tmp_path: Path, output: Path) -> None:
    (tmp_path / "links.txt").write_text("a.tar https://example.org/a.tar")
    record = prepare(RECIPE, Order(output, sources=(tmp_path / "links.txt",)))
    assert record.counts == {"train": {"images": 1}}


def test_the_checksums_of_what_was_used_are_written_down(source: Path, output: Path) -> None:
    prepare(RECIPE, Order(output, sources=(source,)))
    content = json.loads((output / "dataset.json").read_text())
    assert [file["name"] for file in content["files"]] == ["words.zip"]
    assert content["files"][0]["checksum"].startswith("sha256:") and content["files"][0]["published_checksum"] is None
    assert "no checksum is published" in (output / "README.md").read_text()


def test_a_disk_without_links_gets_copies(source: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    assert prepare(RECIPE, Order(output, sources=(source,))).counts == {"train": {"images": 3}}
    assert (output / "train" / "two.txt").read_text() == "two"


# Writing


def labelled(tmp_path: Path, name: str, labels: Path | Callable[[], np.ndarray], suffix: str = "png") -> LabelledImage:
    image = tmp_path / f"{name}_source.{suffix}"
    Image.fromarray(np.full((4, 6), 9, dtype=np.uint8)).save(image)
    return LabelledImage(name, image, labels)


def test_labels_take_8_bits_where_they_fit_and_else_16(tmp_path: Path) -> None:
    for largest, mode in ((255, "L"), (256, "I;16"), (65535, "I;16")):
        write_png(tmp_path / "a.png", np.array([[0, largest]], dtype=np.int64))
        with Image.open(tmp_path / "a.png") as image:
            assert image.mode == mode and np.array(image).tolist() == [[0, largest]]
    with pytest.raises(ValueError, match="at most 65535 objects"):
        write_png(tmp_path / "b.png", np.array([[65536]]))


def test_an_image_of_a_kind_that_the_configs_do_not_read_becomes_png(tmp_path: Path) -> None:
    target = Target(tmp_path / "out")
    target.write_images("val", [labelled(tmp_path, "a", lambda: np.ones((4, 6), dtype=np.uint8), suffix="gif")])
    assert [path.name for path in (tmp_path / "out/val/images").iterdir()] == ["a.png"]
    assert target.counts == {"val": {"images": 1, "objects": 1}}


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    item = labelled(tmp_path, "a", lambda: np.ones((6, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="a_source.png.*they do not belong to each other"):
        Target(tmp_path / "out").write_images("val", [item])


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    item = labelled(tmp_path, "a", lambda: np.ones((4, 6), dtype=np.uint8))
    with pytest.raises(ValueError, match="got a several times"):
        Target(tmp_path / "out").write_images("val", [item, item])
    with pytest.raises(ValueError, match="got v several times"):
        Target(tmp_path / "out").write_volumes("val", [VolumeFiles("v", tmp_path, tmp_path)] * 2)
