from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.data.volumes.pairing import pair_files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def paired(folder: Path, images: str, labels: str) -> dict[str, tuple[str, str]]:
    pairing = pair_files(f"{folder}/{images}", f"{folder}/{labels}")
    return {
        pair.name: (pair.image.relative_to(folder).as_posix(), pair.label.relative_to(folder).as_posix())
        for pair in pairing.pairs
    }


def test_files_of_one_folder_are_paired_whatever_else_lies_there(tmp_path: Path) -> None:
    touch(tmp_path, "b/image.nii.gz", "b/label.nii.gz", "a/label.nii.gz", "a/image.nii.gz", "a/other.nii.gz")
    assert paired(tmp_path, "*/image.nii.gz", "*/label.nii.gz") == {
        "a": ("a/image.nii.gz", "a/label.nii.gz"),
        "b": ("b/image.nii.gz", "b/label.nii.gz"),
    }


def test_files_in_two_folders_are_paired_by_what_the_wildcard_matched(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/c1_0000.nii.gz", "imagesTr/c10_0000.nii.gz", "labelsTr/c1.nii.gz", "labelsTr/c10.nii.gz")
    pairs = paired(tmp_path, "imagesTr/*_0000.nii.gz", "labelsTr/*.nii.gz")
    assert pairs["c1"] == ("imagesTr/c1_0000.nii.gz", "labelsTr/c1.nii.gz")
    assert pairs["c10"] == ("imagesTr/c10_0000.nii.gz", "labelsTr/c10.nii.gz")


def test_lone_files_are_returned_on_their_side(tmp_path: Path) -> None:
    touch(tmp_path, "a/image.nii", "a/label.nii", "b/image.nii", "c/label.nii")
    pairing = pair_files(f"{tmp_path}/*/image.nii", f"{tmp_path}/*/label.nii")
    assert pairing.lone_images == (tmp_path / "b/image.nii",)
    assert pairing.lone_labels == (tmp_path / "c/label.nii",)


def test_two_labels_for_one_image_are_refused_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/image.nii", "a/label_cord.nii", "a/label_gm.nii")
    with pytest.raises(ValueError, match="a/image.nii.*label_cord.nii.*label_gm.nii"):
        pair_files(f"{tmp_path}/*/image.nii", f"{tmp_path}/*/label_*.nii")


def test_two_images_for_one_label_are_refused_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/image_t1.nii", "a/image_t2.nii", "a/label.nii")
    with pytest.raises(ValueError, match="image_t1.nii.*image_t2.nii.*label.nii"):
        pair_files(f"{tmp_path}/*/image_*.nii", f"{tmp_path}/*/label.nii")


def test_sessions_of_one_patient_are_paired_by_both_wildcards(tmp_path: Path) -> None:
    touch(tmp_path, "p1/s1/i.nii", "p1/s2/i.nii", "p1/s1/l.nii", "p1/s2/l.nii")
    assert paired(tmp_path, "*/*/i.nii", "*/*/l.nii") == {
        "p1-s1": ("p1/s1/i.nii", "p1/s1/l.nii"),
        "p1-s2": ("p1/s2/i.nii", "p1/s2/l.nii"),
    }


def test_double_star_matches_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "x/i.nii", "y/z/i.nii", "x/l.nii", "y/z/l.nii")
    assert set(paired(tmp_path, "**/i.nii", "**/l.nii")) == {"x", "y-z"}


def test_single_files_need_no_wildcard(tmp_path: Path) -> None:
    touch(tmp_path, "t1.nii.gz", "seg.nii.gz")
    assert paired(tmp_path, "t1.nii.gz", "seg.nii.gz") == {"t1": ("t1.nii.gz", "seg.nii.gz")}


def test_brackets_and_question_marks_are_wildcards_too(tmp_path: Path) -> None:
    touch(tmp_path, "i1.nii", "i2.nii", "i3.nii", "l1.nii", "l2.nii", "l3.nii")
    assert set(paired(tmp_path, "i[12].nii", "l[12].nii")) == {"1", "2"}
    assert set(paired(tmp_path, "i?.nii", "l?.nii")) == {"1", "2", "3"}


def test_nothing_found_says_which_pattern_and_hints_at_an_unset_variable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`images`.*UNSET_VARIABLE.*not set"):
        pair_files("$UNSET_VARIABLE/*.nii", f"{tmp_path}/*.nii")
    touch(tmp_path, "i.nii")
    with pytest.raises(ValueError, match="`labels`.*nothing.nii"):
        pair_files(f"{tmp_path}/i.nii", f"{tmp_path}/nothing.nii")


def test_environment_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "i.nii", "l.nii")
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    assert len(pair_files("$SOME_FOLDER/i.nii", "${SOME_FOLDER}/l.nii").pairs) == 1


def test_patterns_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/i.nii", "l.nii")
    with pytest.raises(ValueError, match="equally many wildcards"):
        pair_files(f"{tmp_path}/*/i.nii", f"{tmp_path}/l.nii")


def test_an_image_is_not_its_own_label(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii")
    with pytest.raises(ValueError, match="different files"):
        pair_files(f"{tmp_path}/*.nii", f"{tmp_path}/*.nii")
