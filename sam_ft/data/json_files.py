"""JSON files of others: whole, or one element of a long array at a time; every error names the file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sam_ft.files import is_file

_SPACE = re.compile(r"[ \t\n\r]*")


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        ValueError: The file is missing, empty, cut, no JSON, or holds something else than an object.
    """
    content = _decoded(path)
    if not isinstance(content, dict):
        raise ValueError(f"Expected a JSON object in {path}, but got a {type(content).__name__}.")
    return content


def read_json_array(path: Path) -> list[Any]:
    """The array in a file; raises as `read_json_object`."""
    content = _decoded(path)
    if not isinstance(content, list):
        raise ValueError(f"Expected a JSON array in {path}, but got a {type(content).__name__}.")
    return content


def json_elements(path: Path, names: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in some arrays of the object in a file, as (name of the array, element), in the order of the file.

    Beside the text only one element is in memory at a time, not an object for each of millions of numbers.

    Raises:
        ValueError: The file is missing, empty, cut, no JSON, no object, or one of the names is not there, there twice
            or no array of objects.
    """
    missing = set(names)
    try:
        cursor = _Cursor(_text(path))
        for name in cursor.members():
            if name not in names:
                cursor.value()
                continue
            if name not in missing:
                raise _SyntaxError(f"it has {name} twice")
            missing.remove(name)
            for element in cursor.elements(name):
                yield name, element
        cursor.expect_end()
    except (_SyntaxError, RecursionError) as err:
        raise ValueError(f"Expected JSON in {path}, but it cannot be decoded: {err}.") from err
    if missing:
        raise ValueError(f"Expected the arrays {', '.join(names)} in {path}, but it has no {', '.join(missing)}.")


class _SyntaxError(Exception):
    """What is wrong in a text; not a ValueError, so that those of a loop over the elements are left alone."""


class _Cursor:
    """A place in a text, which moves over what is read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self._decoder = json.JSONDecoder()

    def members(self) -> Iterator[str]:
        """The name of each member of an object; the caller then reads its value."""
        if not self._takes("{"):
            raise self._wrong("an object")
        if self._takes("}"):
            return
        while True:
            name = self.value()
            if not isinstance(name, str) or not self._takes(":"):
                raise self._wrong("a name and a colon")
            yield name
            if self._takes("}"):
                return
            if not self._takes(","):
                raise self._wrong("a comma or the end of the object")

    def elements(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects in an array."""
        if not self._takes("["):
            raise self._wrong(f"an array {name}")
        if self._takes("]"):
            return
        while True:
            element = self.value()
            if not isinstance(element, dict):
                raise self._wrong(f"objects in {name} alone")
            yield element
            if self._takes("]"):
                return
            if not self._takes(","):
                raise self._wrong(f"a comma or the end of {name}")

    def value(self) -> Any:
        self._skip_space()
        try:
            value, self.place = self._decoder.raw_decode(self.text, self.place)
        except ValueError as err:
            raise _SyntaxError(str(err)) from err
        return value

    def expect_end(self) -> None:
        self._skip_space()
        if self.place != len(self.text):
            raise self._wrong("nothing more")

    def _takes(self, character: str) -> bool:
        self._skip_space()
        found = self.text.startswith(character, self.place)
        self.place += found
        return found

    def _skip_space(self) -> None:
        if space := _SPACE.match(self.text, self.place):
            self.place = space.end()

    def _wrong(self, wanted: str) -> _SyntaxError:
        return _SyntaxError(f"expected {wanted} at character {self.place} of {len(self.text)}")


def _decoded(path: Path) -> Any:
    text = _text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ValueError(f"Expected JSON in {path}, but it cannot be decoded: {err}.") from err


def _text(path: Path) -> str:
    if not is_file(path):
        raise ValueError(f"Expected JSON in {path}, but it cannot be read: there is no such file.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ValueError(f"Expected JSON in {path}, but it cannot be read: {err}.") from err
