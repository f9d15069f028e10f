from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sam_ft.data.json_files import json_elements, read_json_array, read_json_object

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=4)
of_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@of_one_folder
@given(
    content=st.fixed_dictionaries({"images": objects, "info": values, "other": objects}),
    indent=st.none() | st.just(1),
)
def test_elements_are_those_that_json_reads(tmp_path: Path, content: dict[str, object], indent: int | None) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    expected = [(name, element) for name in content if name != "info" for element in content[name]]  # type: ignore[attr-defined]
    assert list(json_elements(path, {"other", "images"})) == expected
    assert read_json_object(path) == content


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected an object at character 0 of 0"),
        ("[1]", "expected an object"),
        ("\x89PNG", "expected an object"),
        ('{"images": 3}', "expected an array images"),
        ('{"images": [3]}', "expected objects in images alone"),
        ('{"images": [{}]', "a comma or the end of the object at character 15 of 15"),
        ('{"images": [{}', "a comma or the end of images"),
        ('{"images": [{"a": 1', "delimiter"),
        ('{"images": [{"a": "b', "Unterminated string"),
        ('{"images" []}', "a name and a colon"),
        ('{"images": []} {}', "nothing more"),
        ('{"images": [], "images": []}', "images twice"),
        ('{"info": ' + "[" * 100_000, "recursion"),
        ("{}", "it has no images"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"file.json.*{message}"):
        list(json_elements(path, {"images"}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"a": ' + b"[" * 100_000])
def test_whole_files_that_hold_no_object_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="file.json"):
        read_json_object(path)
    with pytest.raises(ValueError, match="file.json"):
        list(json_elements(path, {"a"}))


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = '{"images": [{"id": 1, "name": "a"}, {"id": 2}], "categories": []}'
    path = tmp_path / "file.json"
    for length in range(len(whole)):
        path.write_text(whole[:length])
        with pytest.raises(ValueError, match="file.json"):
            list(json_elements(path, {"images", "categories"}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere.json, but it cannot be read"):
        read_json_object(tmp_path / "nowhere.json")


def test_errors_of_the_reader_are_not_taken_for_errors_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"images": [{}]}')
    with pytest.raises(ValueError, match="^mine$"):
        for _ in json_elements(path, {"images"}):
            raise ValueError("mine")


def test_an_array_is_told_from_an_object_and_a_missing_file_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('[{"a": 1}, 2]')
    assert read_json_array(path) == [{"a": 1}, 2]
    path.write_text("{}")
    with pytest.raises(ValueError, match="JSON array in .*file.json, but got a dict"):
        read_json_array(path)
    with pytest.raises(ValueError) as caught:
        read_json_array(tmp_path / "absent.json")
    assert str(caught.value).count("Expected") == 1
