"""Which image belongs to which label: by folder and by what the wildcards of two patterns matched."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_WILDCARD = re.compile(r"\*\*/|\*|\?|\[!?[^]]+\]")
_AS_EXPRESSION = {"**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}

Key = tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """One image with its label."""

    image: Path
    label: Path
    key: Key  # what the wildcards that both patterns share matched

    @property
    def name(self) -> str:
        """What the wildcards matched, joined; the image's file name where the pattern has none."""
        parts = [part.strip("/").replace("/", "-") for part in self.key]
        return "-".join(part for part in parts if part) or self.image.name.split(".")[0]


@dataclass(frozen=True)
class Pairing:
    """The pairs, and the files of either side that have no partner."""

    pairs: tuple[Pair, ...]
    lone_images: tuple[Path, ...]
    lone_labels: tuple[Path, ...]


def pair_files(images: str, labels: str, *, image_folders: bool = False) -> Pairing:
    """Pairs the files of two glob patterns.

    Two patterns with equally many wildcards pair files for which all wildcards matched the same text
    (`*/image.nii.gz` with `*/label.nii.gz`, `images/*.nii.gz` with `labels/*.nii.gz`). Where the numbers differ,
    the wildcards of the folders decide (`*/image.nii.gz` with `*/label_*.nii.gz`). Files are never paired by
    their order. `~` and environment variables are expanded; `**` matches any depth.

    Args:
        images: Pattern of the images.
        labels: Pattern of the labels.
        image_folders: Whether an image is a folder of files.

    Returns:
        Pairs in the order of their images' paths; what to do about lone files is the caller's decision.

    Raises:
        ValueError: A pattern matches nothing, the patterns cannot be compared, or a file could be paired twice.
    """
    image_pattern, label_pattern = _expand(images), _expand(labels)
    by_folder = _num_wildcards(image_pattern) != _num_wildcards(label_pattern)
    image_place = image_pattern if image_folders else Path(image_pattern).parent.as_posix()
    num_kept = _num_wildcards(image_place)
    if by_folder and num_kept != _num_wildcards(Path(label_pattern).parent.as_posix()):
        raise ValueError(
            "Expected `images` and `labels` with equally many wildcards, at least in their folders, "
            f"but got {images!r} and {labels!r}."
        )
    kept = num_kept if by_folder else None
    found_images = _match(
        image_pattern, what="images", kept=kept, is_wanted=Path.is_dir if image_folders else Path.is_file
    )
    found_labels = _match(label_pattern, what="labels", kept=kept)
    _refuse_double(found_images, found_labels)
    pairs = [Pair(paths[0], found_labels[key][0], key) for key, paths in found_images.items() if key in found_labels]
    for pair in pairs:
        if pair.image == pair.label:
            raise ValueError(f"Expected `images` and `labels` to be different files, but both match {pair.image}.")
    return Pairing(
        pairs=tuple(pairs),
        lone_images=tuple(paths[0] for key, paths in found_images.items() if key not in found_labels),
        lone_labels=tuple(paths[0] for key, paths in found_labels.items() if key not in found_images),
    )


def folder_of(pattern: str) -> Path:
    """The folder that a pattern starts from: the part before its first wildcard."""
    expanded = _expand(pattern)
    wildcard = _WILDCARD.search(expanded)
    return Path(expanded if wildcard is None else expanded[: wildcard.start()] + "*").parent


def _expand(pattern: str) -> str:
    return Path(os.path.expandvars(os.path.expanduser(pattern))).as_posix()


def _num_wildcards(pattern: str) -> int:
    return len(_WILDCARD.findall(pattern))


def _match(
    pattern: str, *, what: str, kept: int | None, is_wanted: Callable[[Path], bool] = Path.is_file
) -> dict[Key, list[Path]]:
    """What the first `kept` wildcards (None: all) matched -> the files, in the order of their paths."""
    expression = _expression(pattern)
    found: dict[Key, list[Path]] = defaultdict(list)
    for path in sorted(glob.glob(pattern, recursive=True)):
        match = expression.fullmatch(Path(path).as_posix())
        if match is not None and is_wanted(Path(path)):
            found[match.groups()[:kept]].append(Path(path))
    if not found:
        kind = "file" if is_wanted is Path.is_file else "folder"
        hint = " An environment variable in it is not set." if "$" in pattern else ""
        raise ValueError(f"Expected `{what}` to match at least one {kind}, but nothing matches {pattern!r}.{hint}")
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    expression, position = "", 0
    for wildcard in _WILDCARD.finditer(pattern):
        expression += re.escape(pattern[position : wildcard.start()])
        token = wildcard.group()
        expression += _AS_EXPRESSION.get(token) or "(" + token.replace("[!", "[^") + ")"
        position = wildcard.end()
    return re.compile(expression + re.escape(pattern[position:]))


def _refuse_double(images: Mapping[Key, list[Path]], labels: Mapping[Key, list[Path]]) -> None:
    for key, paths in images.items():
        partners = labels.get(key, [])
        if partners and (len(paths) > 1 or len(partners) > 1):
            raise ValueError(
                "Expected one label for one image, but these match each other: "
                f"images {_listed(paths)}; labels {_listed(partners)}. Make the patterns narrower."
            )


def _listed(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths)
