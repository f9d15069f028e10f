"""What two parts of a data set must not share: a group such as a patient, or one image under two names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sam_ft.data.damaged import reading
from sam_ft.data.image_files import stored_pixels
from sam_ft.data.splits import Part
from sam_ft.files import is_file

_PIECE = 1 << 12
_Found = list[tuple[Path, Part]]


def refuse_shared_groups(groups: Mapping[Part, Iterable[tuple[str, Path]]]) -> None:
    """Checks that no group is in two parts.

    Args:
        groups: The group of each image of a part, and a file of the image, for the message.

    Raises:
        ValueError: A group is in two parts; it is named, with a file of either.
    """
    first: dict[str, tuple[Part, Path]] = {}
    for part, members in groups.items():
        for group, path in members:
            other, elsewhere = first.setdefault(group, (part, path))
            if other != part:
                raise ValueError(
                    f"Expected each group in one part, but {group} is in {other} ({elsewhere}) and in {part} ({path}): "
                    "take it out of one, or change `group`, which says what stays together."
                )


def refuse_shared_images(files: Mapping[Part, Iterable[Path]]) -> None:
    """Checks that no two files of different parts have the same content; images of one colour are let through.

    Sizes are compared first, then some pieces of the files whose sizes two parts share, and only what is still alike is
    read whole, so that few files of a large data set are opened. A path that is no file is left to who reads it.

    Args:
        files: That the images of a part are read from.

    Raises:
        ValueError: Such a pair, named.
    """
    alike = [[(path, part) for part, paths in files.items() for path in dict.fromkeys(paths) if is_file(path)]]
    for fingerprint in (_size, _pieces, _whole):
        alike = [same for group in alike for same in _shared(group, fingerprint)]
    for group in alike:
        path, part = group[0]
        if not _is_of_one_colour(path):
            other, elsewhere = next(found for found in group if found[1] != part)
            raise ValueError(
                f"Expected no image in two parts, but {path} ({part}) and {other} ({elsewhere}) have the same content: "
                "remove one."
            )


def _shared(found: _Found, fingerprint: Callable[[Path], object]) -> list[_Found]:
    """Those of one fingerprint that are in two parts or more, together."""
    by_fingerprint: dict[object, _Found] = defaultdict(list)
    for path, part in found:
        by_fingerprint[fingerprint(path)].append((path, part))
    return [same for same in by_fingerprint.values() if len({part for _, part in same}) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _pieces(path: Path) -> bytes:
    """A hash of the beginning, the middle and the end."""
    digest, size = hashlib.blake2b(), _size(path)
    with reading(path, "an image"), path.open("rb") as file:
        for start in (0, size // 2, max(size - _PIECE, 0)):
            file.seek(start)
            digest.update(file.read(_PIECE))
    return digest.digest()


def _whole(path: Path) -> bytes:
    """A hash of everything."""
    with reading(path, "an image"), path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _is_of_one_colour(path: Path) -> bool:
    """Whether every pixel is the same; of files that hold more than an image, or cannot be decoded, nobody can say."""
    try:
        pixels = stored_pixels(path)
    except ValueError:
        return False
    return pixels.ndim >= 2 and bool((pixels == pixels[:1, :1]).all())
