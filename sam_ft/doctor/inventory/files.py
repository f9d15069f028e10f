"""Pairs of images and label maps in folders, with the files that have no partner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_ft.data.folders import files_by_stem
from sam_ft.doctor.findings import Finding, Found, Severity, counted


@dataclass(frozen=True)
class Pairs:
    """What two folders hold."""

    pairs: tuple[tuple[Path, Path], ...]
    lone_images: tuple[Path, ...] = ()
    lone_labels: tuple[Path, ...] = ()
    same_name: tuple[Path, ...] = ()


def pairs_in(images: Path, labels: Path) -> Pairs:
    """The pairs of two folders by the names of their files.

    Raises:
        ValueError: A folder is missing or has no image files.
    """
    first, second = files_by_stem(images), files_by_stem(labels)
    return Pairs(
        pairs=tuple((first[stem][0], second[stem][0]) for stem in sorted(first.keys() & second.keys())),
        lone_images=tuple(first[stem][0] for stem in sorted(first.keys() - second.keys())),
        lone_labels=tuple(second[stem][0] for stem in sorted(second.keys() - first.keys())),
        same_name=tuple(path for found in (first, second) for paths in found.values() for path in paths[1:]),
    )


def findings_of(every: Sequence[Pairs]) -> list[Finding]:
    """What is wrong with the listing of one folder of each part."""
    lone_images = [path for pairs in every for path in pairs.lone_images]
    lone_labels = [path for pairs in every for path in pairs.lone_labels]
    return [
        *lone_findings(lone_images, lone_labels),
        *_same_name(path for pairs in every for path in pairs.same_name),
    ]


def lone_findings(images: Sequence[Path], labels: Sequence[Path]) -> list[Finding]:
    """Images without a label, labels without an image."""
    found = []
    for code, paths, have, lack in (
        ("image_without_label", images, "image", "label"),
        ("label_without_image", labels, "label", "image"),
    ):
        if paths:
            found.append(
                Finding(
                    code,
                    Severity.ERROR,
                    f"{counted(len(paths), have)} without a {lack}.",
                    f"Add the {lack}, or take the {have} out.",
                    tuple(Found(str(path)) for path in paths),
                )
            )
    return found


def _same_name(paths: Iterable[Path]) -> list[Finding]:
    found = tuple(Found(str(path)) for path in paths)
    if not found:
        return []
    text = f"{counted(len(found), 'file')} of the same name as another but for the suffix."
    return [Finding("same_name", Severity.ERROR, text, "Keep one of them: files are paired by name.", found)]
