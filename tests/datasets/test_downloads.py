"""Downloads that are here from before: put there by hand, or wrong without anybody who could know it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sam_ft.data.preparing import preparation
from sam_ft.data.preparing.preparation import Order, prepare
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.download import Patience, checksum_of

QUICK = Patience(timeout_s=5, retries=2, pause_s=0.001)
Published = Callable[[str], Path]


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(tmp_path / "out")


def failure(recipe: Recipe, order: Order) -> str:
    with pytest.raises(ValueError) as caught:
        prepare(recipe, order, patience=QUICK)
    assert "\n" not in str(caught.value)
    assert not (order.output / "dataset.json").exists()
    return str(caught.value)


def unreachable(recipe: Recipe) -> Recipe:
    """The recipe without a network."""
    return replace(
        recipe, files=tuple(replace(file, url=f"http://127.0.0.1:9/{file.name}") for file in recipe.files), by_hand=""
    )


def put_by_hand(recipe: Recipe, order: Order, content: bytes) -> Path:
    """Where the error of a first call without a network says that the file goes, with the file."""
    path = order.output / "downloads" / recipe.files[0].name
    assert f"put that file at {path}" in failure(recipe, order)
    path.write_bytes(content)
    return path


@pytest.fixture
def polyps(recipes: dict[str, Recipe], published: Published) -> tuple[Recipe, bytes]:
    """A recipe of one archive that is not checked yet, and the archive."""
    return unreachable(recipes["kvasir_seg"]), (published("kvasir_seg") / "kvasir-seg.zip").read_bytes()


def checked(recipe: Recipe, content: bytes, algorithm: str) -> Recipe:
    """The recipe of one file with its checksum."""
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    return replace(recipe, files=(replace(recipe.files[0], checksum=checksum, megabytes=0.1),))


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_another_file_than_published_that_was_put_there_by_hand_is_refused(
    polyps: tuple[Recipe, bytes], order: Order, algorithm: str
) -> None:
    recipe, content = polyps
    recipe = checked(recipe, content + b"more", algorithm)
    path = put_by_hand(recipe, order, content)  # a whole archive, which would be read
    message = failure(recipe, order)
    assert f"Expected {recipe.files[0].checksum} for {path}, but got {algorithm}:" in message
    assert message.endswith("it is not the published file. Remove it, and the same command fetches it.")
    assert path.read_bytes() == content  # it is the user's


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_published_file_that_was_put_there_by_hand_is_taken_and_said_to_be_as_published(
    polyps: tuple[Recipe, bytes], order: Order, algorithm: str
) -> None:
    recipe = checked(*polyps, algorithm)
    put_by_hand(recipe, order, polyps[1])
    record = prepare(recipe, order, patience=QUICK)
    assert record.counts["train"]["images"] == 8
    digits = hashlib.sha256(polyps[1]).hexdigest()
    assert f"- kvasir-seg.zip: sha256:{digits} (as published)" in (order.output / "README.md").read_text()


@pytest.mark.parametrize(("algorithm", "times"), [("sha256", 1), ("md5", 2)])
def test_a_file_is_read_once_more_only_for_another_kind_of_checksum(
    polyps: tuple[Recipe, bytes], order: Order, monkeypatch: pytest.MonkeyPatch, algorithm: str, times: int
) -> None:
    read: list[Path] = []

    def noting(path: Path, **like: str) -> str:
        read.append(path)
        return checksum_of(path, **like)

    recipe = checked(*polyps, algorithm)
    path = put_by_hand(recipe, order, polyps[1])
    monkeypatch.setattr(preparation, "checksum_of", noting)
    prepare(recipe, order, patience=QUICK)
    assert read == [path] * times


def replaced_by_an_error(file: Path) -> bytes:
    """What a busy server sends in the place of a file; returns what should have come."""
    right = file.read_bytes()
    file.write_text('{"error": "busy"}')
    return right


def test_a_wrong_file_without_a_checksum_is_named_and_its_removal_is_enough(
    recipes: dict[str, Recipe], published: Published, publisher: Any, order: Order
) -> None:
    folder = published("livecell")
    file = folder / "livecell_coco_val.json"
    right = replaced_by_an_error(file)
    site = publisher(folder)
    recipe = site.recipe(recipes["livecell"], folder)
    message = failure(recipe, order)
    downloads = order.output / "downloads"
    assert f"as COCO has them in {downloads / file.name}" in message
    assert message.endswith(
        "No checksum is published of images.zip, livecell_coco_train.json, livecell_coco_val.json, "
        f"livecell_coco_test.json: if a download is damaged, remove it from {downloads}, and the same command fetches "
        "it again."
    )
    file.write_bytes(right)
    (downloads / file.name).unlink()
    site.behaviour.asked.clear()
    assert prepare(recipe, order, patience=QUICK).counts["val"]["images"] == 3
    assert site.behaviour.asked == [file.name]


def test_parts_that_were_begun_from_a_wrong_download_are_made_anew(
    recipes: dict[str, Recipe], published: Published, publisher: Any, order: Order
) -> None:
    folder = published("livecell")
    file = folder / "livecell_coco_test.json"
    right = replaced_by_an_error(file)
    recipe = publisher(folder).recipe(recipes["livecell"], folder)
    failure(recipe, order)
    (image,) = (order.output / "train" / "images").glob("*_train_0.tif")
    before = image.read_bytes()
    with zipfile.ZipFile(folder / "images.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content + b"another")
    file.write_bytes(right)
    for name in ("images.zip", file.name):
        (order.output / "downloads" / name).unlink()
    prepare(recipe, order, patience=QUICK)
    assert image.read_bytes() == before + b"another"
    assert checksum_of(folder / "images.zip") in (order.output / "README.md").read_text()


def test_an_archive_without_a_checksum_that_is_refused_is_named(
    recipes: dict[str, Recipe], published: Published, publisher: Any, order: Order
) -> None:
    folder = published("livecell")
    with zipfile.ZipFile(folder / "images.zip", "a") as archive:
        archive.writestr("../escaped", b"")
    message = failure(publisher(folder).recipe(recipes["livecell"], folder), order)
    assert "may lead out of it. No checksum is published of images.zip: if" in message


def test_files_that_the_user_gave_or_that_were_verified_are_not_doubted(
    recipes: dict[str, Recipe], published: Published, publisher: Any, order: Order, polyps: tuple[Recipe, bytes]
) -> None:
    folder = published("livecell")
    (folder / "livecell_coco_val.json").write_text("{}")
    message = failure(recipes["livecell"], replace(order, sources=(folder,)))
    assert "as COCO has them" in message and "No checksum" not in message

    def refuses(*_: object) -> None:
        raise ValueError("no room")

    recipe = replace(checked(*polyps, "sha256"), convert=refuses)
    verified = replace(order, output=order.output.parent / "verified")
    put_by_hand(recipe, verified, polyps[1])
    assert failure(recipe, verified) == "no room"
