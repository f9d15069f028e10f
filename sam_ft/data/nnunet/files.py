"""The files of each case of nnU-Net: one for each channel, and the label."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from sam_ft.checks import quoted
from sam_ft.data.folders import listed
from sam_ft.data.nnunet.description import NnunetDescription, path_inside


@dataclass(frozen=True)
class NnunetCase:
    """One case."""

    name: str
    images: tuple[Path, ...]  # by number of the channel; or one colour image that has all three
    label: Path


def training_cases(folder: Path, description: NnunetDescription) -> list[NnunetCase]:
    """The cases of `imagesTr` and `labelsTr`, or those that the description lists, by name.

    Raises:
        ValueError: A missing folder or file, a case without label, a label without image, or another number of channels
            than the description has.
    """
    if description.listed is None:
        return cases_in(folder / "imagesTr", folder / "labelsTr", description)
    return [_listed_case(folder, name, entry, description) for name, entry in sorted(description.listed.items())]


def cases_in(images: Path, labels: Path, description: NnunetDescription) -> list[NnunetCase]:
    """The cases of two folders, by name; files whose names begin with a dot are left out. Raises as above."""
    by_case: dict[str, dict[int, Path]] = defaultdict(dict)
    name_of_image = re.compile(r"(.+)_(\d{4})" + re.escape(description.file_ending))
    for path in _files_in(images, description):
        match = name_of_image.fullmatch(path.name)
        if match is None:
            raise ValueError(f"Expected names such as CASE_0000{description.file_ending} in {images}, but got {path}.")
        by_case[match.group(1)][int(match.group(2))] = path
    of_label = {path.name.removesuffix(description.file_ending): path for path in _files_in(labels, description)}
    lone = [f"case {name} has no label in {labels}" for name in by_case.keys() - of_label.keys()]
    lone += [f"{of_label[name]} has no image in {images}" for name in of_label.keys() - by_case.keys()]
    if lone:
        raise ValueError(f"Expected every case to have images and a label, but {'; '.join(sorted(lone)[:3])}.")
    cases = []
    for name, channels in sorted(by_case.items()):
        if sorted(channels) != list(range(len(channels))):
            raise ValueError(f"Expected channels from _0000 on without a gap, but got {', '.join(_names(channels))}.")
        files = tuple(channels[number] for number in range(len(channels)))
        cases.append(NnunetCase(name, _complete(files, description), of_label[name]))
    return cases


def _files_in(folder: Path, description: NnunetDescription) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"Expected the folder {folder}, which {description.path} is about, but there is none.")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(description.file_ending) and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"Expected files ending in {description.file_ending} in {folder}, but got {listed(folder)}.")
    return found


def _listed_case(folder: Path, name: str, entry: object, description: NnunetDescription) -> NnunetCase:
    if not isinstance(entry, dict) or not isinstance(entry.get("images"), list) or not entry["images"]:
        raise ValueError(f"Expected images and a label of case {name} in {description.path}, but got {quoted(entry)}.")
    files = tuple(path_inside(folder, image, source=description.path) for image in entry["images"])
    label = path_inside(folder, entry.get("label"), source=description.path)
    return NnunetCase(name, _complete(files, description), label)


def _complete(files: tuple[Path, ...], description: NnunetDescription) -> tuple[Path, ...]:
    """The files themselves, if they have the channels that the description names."""
    num_channels = len(description.channel_names)
    may_be_colour = not description.is_of_volumes and num_channels == 3
    if len(files) == num_channels or (len(files) == 1 and may_be_colour):
        return files
    raise ValueError(
        f"Expected {num_channels} channels ({', '.join(description.channel_names)}) as {description.path} says, but "
        f"got {', '.join(path.name for path in files)} in {files[0].parent}."
    )


def _names(channels: dict[int, Path]) -> list[str]:
    return [path.name for _, path in sorted(channels.items())]
