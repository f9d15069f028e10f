"""What the numbers in label maps mean, as a JSON file says: class names, and numbers whose class nobody knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sam_ft.checks import quoted, shortened
from sam_ft.data.json_files import read_json_object
from sam_ft.data.volumes.objects import ObjectRule

_IGNORE = "ignore"
_MOST_DIGITS = 10


@dataclass(frozen=True)
class LabelNames:
    """The classes of a data set, background left out."""

    path: Path  # of the file that says so
    classes: Mapping[str, tuple[int, ...]]  # name -> values; a region of several values may overlap others
    ignored: tuple[int, ...] = ()  # values of pixels whose class nobody knows

    def rule(self, objects: ObjectRule) -> ObjectRule:
        """The rule with these classes and ignored values, where it names none itself."""
        return replace(objects, classes=objects.classes or self.classes, ignored=objects.ignored or self.ignored)

    def expect_known(self, values: Collection[int], *, where: Path) -> None:
        """Refuse values in a label map that have no name.

        Raises:
            ValueError: There are some; the label map is named.
        """
        known = {0, *self.ignored, *(value for several in self.classes.values() for value in several)}
        if unknown := sorted(set(values) - known):
            raise ValueError(
                f"Expected the values that {self.path} names ({', '.join(map(str, sorted(known)))}) in {where}, "
                f"but got {', '.join(map(str, unknown[:8]))}."
            )


def label_names_in(folder: Path) -> LabelNames | None:
    """What `labels.json` in a folder says, such as `{"liver": 1, "kidneys": [2, 3]}`; None if there is none.

    Raises:
        ValueError: It says something else.
    """
    path = folder / "labels.json"
    return label_names(read_json_object(path), path=path) if path.is_file() else None


def label_names(content: object, *, path: Path) -> LabelNames:
    """The classes of a JSON object, name -> value or values (nnU-Net), or value -> name (the Decathlon).

    Value 0 is the background, whatever it is called; the values of "ignore" are those that nobody knows.

    Args:
        content: What the file has under `labels`.
        path: The file, for messages.

    Raises:
        ValueError: No object, no class, or a value that is no whole number of 0 and above.
    """
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f'Expected labels such as {{"background": 0, "liver": 1}} in {path}, but got {quoted(content)}.'
        )
    named = _by_name(content, path) if all(name.isdecimal() for name in content) else content
    classes = {str(name): _values(name, given, path) for name, given in named.items()}
    classes = {name: values for name, values in classes.items() if values != (0,)}
    if wrong := [name for name, values in classes.items() if 0 in values]:
        raise ValueError(f"Expected 0 to be the background alone in {path}, but {shortened(wrong[0])!r} has it too.")
    ignored = classes.pop(_IGNORE, ())
    if not classes:
        raise ValueError(
            f"Expected labels of at least one class beside the background in {path}, but got {quoted(content)}."
        )
    if taken := [name for name, values in classes.items() if set(values) & set(ignored)]:
        raise ValueError(
            f"Expected a value of its own for {_IGNORE!r} in {path}, but {shortened(taken[0])!r} has it too."
        )
    return LabelNames(path, classes, ignored)


def _by_name(content: dict[str, object], path: Path) -> dict[str, list[int]]:
    """{"1": "liver"} -> {"liver": [1]}."""
    named: dict[str, list[int]] = {}
    for value, name in content.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"Expected a name for label {shortened(value)} in {path}, but got {quoted(name)}.")
        if len(value) > _MOST_DIGITS:
            raise ValueError(f"Expected labels of up to {_MOST_DIGITS} digits in {path}, but got {shortened(value)}.")
        named.setdefault(name, []).append(int(value))
    return named


def _values(name: str, given: object, path: Path) -> tuple[int, ...]:
    values = tuple(given) if isinstance(given, list) else (given,)
    if not values or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(
            f"Expected whole numbers of 0 and above for label {shortened(name)!r} in {path}, but got {quoted(given)}."
        )
    return values
