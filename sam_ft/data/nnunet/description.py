"""What the `dataset.json` of nnU-Net says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_ft.checks import quoted, shortened
from sam_ft.data.json_files import read_json_object
from sam_ft.data.label_names import LabelNames, label_names
from sam_ft.files import is_file

VOLUME_ENDINGS = (".nii.gz", ".nii")
IMAGE_ENDINGS = (".png", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class NnunetDescription:
    """A description of version 2."""

    path: Path
    channel_names: tuple[str, ...]
    labels: LabelNames
    file_ending: str
    listed: Mapping[str, Any] | None = None  # case -> images and label, where the files lie elsewhere in the folder

    @property
    def is_of_volumes(self) -> bool:
        """Whether cases are volumes, not single images."""
        return self.file_ending in VOLUME_ENDINGS


def read_description(path: Path) -> NnunetDescription:
    """The description in a file.

    Raises:
        ValueError: No JSON; something missing or of another type; or an ending of files that are not read.
    """
    content = read_json_object(path)
    if "channel_names" not in content and "training" in content:
        raise ValueError(
            f"Expected nnU-Net's channel_names in {path}, but it lists its training cases, as the Medical Segmentation "
            "Decathlon does: data=msd reads that."
        )
    ending, listed = content.get("file_ending"), content.get("dataset")
    if ending not in (*VOLUME_ENDINGS, *IMAGE_ENDINGS):
        known = ", ".join((*VOLUME_ENDINGS, *IMAGE_ENDINGS))
        raise ValueError(f"Expected `file_ending` to be one of {known} in {path}, but got {quoted(ending)}.")
    if listed is not None and not isinstance(listed, dict):
        raise ValueError(f"Expected `dataset` to be an object of cases in {path}, but got {type(listed).__name__}.")
    return NnunetDescription(
        path=path,
        channel_names=numbered_names(content.get("channel_names"), what="channel_names", path=path),
        labels=label_names(content.get("labels"), path=path),
        file_ending=str(ending),
        listed=listed,
    )


def numbered_names(content: object, *, what: str, path: Path) -> tuple[str, ...]:
    """The names in {"0": "T1", "1": "T2"}, by their numbers.

    Raises:
        ValueError: Something else, or numbers that are not 0, 1, 2, ...
    """
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content.values()):
        raise ValueError(f'Expected `{what}` such as {{"0": "T1", "1": "T2"}} in {path}, but got {quoted(content)}.')
    wanted = [str(number) for number in range(len(content))]
    if set(content) != set(wanted):
        raise ValueError(
            f"Expected `{what}` numbered {shortened(', '.join(wanted))} in {path}, but got "
            f"{shortened(', '.join(content), 200)}."
        )
    return tuple(content[number] for number in wanted)


def path_inside(folder: Path, given: object, *, source: Path) -> Path:
    """The file that a description means by a path that starts from its folder.

    Raises:
        ValueError: No path, one that leads out of the folder, or no such file.
    """
    if not isinstance(given, str) or not given:
        raise ValueError(f"Expected the path of a file in {source}, but got {quoted(given)}.")
    path = Path(os.path.normpath(folder / given))
    if not path.is_relative_to(os.path.normpath(folder)):
        raise ValueError(f"Expected paths in {folder} alone, but {source} names {shortened(given, 200)}.")
    if not is_file(path):
        raise ValueError(f"Expected the file {shortened(str(path), 400)}, which {source} names, but there is none.")
    return path
