"""Raw data sets of nnU-Net in training, validation and test parts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from sam_ft.data.channel_choice import Channel, chosen_channels
from sam_ft.data.folders import expanded
from sam_ft.data.folds import FoldSplit
from sam_ft.data.groups import group_in
from sam_ft.data.labelled_images import groups_of_images, image_splits
from sam_ft.data.nifti.cases import open_nifti_cases
from sam_ft.data.nnunet.description import read_description
from sam_ft.data.nnunet.files import NnunetCase, cases_in, training_cases
from sam_ft.data.nnunet.folds import NnunetFold
from sam_ft.data.nnunet.images import NnunetImage
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.cases import CaseFiles, VolumeFile
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.parts import volume_splits
from sam_ft.data.volumes.view import View, share_of_images

_logger = logging.getLogger(__name__)
_TEST = "imagesTs/"
"""Before the names of test cases, which may be numbered as the training cases are."""

Split = GroupSplit | FoldSplit | SlabSplit | NnunetFold


def nnunet_splits(
    root: str | Path,
    *,
    split: Split,
    channels: Channel | Sequence[Channel] | None = None,
    group: str | None = None,
    objects: ObjectRule | None = None,
    axis: str = "axial",
    **view: Unpack[View],
) -> DataSplits:
    """A folder `DatasetXXX_NAME` of nnU-Net 2: `VolumeSlices` of its volumes, or `LabelledImages` where it has images.

    Classes, regions and the ignore label are those of `dataset.json`. Where there is a folder `labelsTs`, its cases are
    the test part and `split` divides the others in two.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How the cases of `imagesTr` are divided; a group is a case. `NnunetFold`: as nnU-Net did.
        channels: One channel, or three for red, green and blue, by name or number; None: all, if one or three.
        group: Which cases stay together: those for which the first parentheses of this regular expression match the
            same text in the first image's path; test cases must not belong to one of them. None: each is its own.
        objects: What counts as an object; its classes are those of `dataset.json` where it names none.
        axis: Along which volumes are cut.
        **view: How they are cut and shown; of images only `empty` is used, the others and an axis must not be given.

    Raises:
        ValueError: A description that is not understood, a missing file, other channels or label values than described,
            or what the data sets and splits raise. The file is named.

    Source: nnU-Net, `documentation/dataset_format.md`, `region_based_training.md` and `ignore_label.md`.
    """
    folder = expanded(root)
    description = read_description(folder / "dataset.json")
    chosen = chosen_channels(description.channel_names, channels, path=description.path)
    training = training_cases(folder, description)
    test = cases_in(folder / "imagesTs", folder / "labelsTs", description) if (folder / "labelsTs").is_dir() else []
    split = without_test(split, folder / "labelsTs") if test else split
    rule = objects or ObjectRule()
    if description.is_of_volumes:
        volumes = open_nifti_cases(case_files(training, chosen), plane=axis)
        held_out = open_nifti_cases(case_files(test, chosen, prefix=_TEST), plane=axis)
        return volume_splits(
            volumes, held_out, split=split, group=group, objects=rule, names=description.labels, **view
        )
    return image_splits(
        [_as_image(case, chosen, group) for case in training],
        [_as_image(case, chosen, group, prefix=_TEST) for case in test],
        objects=rule, names=description.labels, split=groups_of_images(split), empty=share_of_images(view, axis=axis),
    )  # fmt: skip


def without_test(split: Split, labels: Path) -> Split:
    """The same split with nothing held out for testing, since there are test cases.

    Raises:
        ValueError: The split names groups to test on.
    """
    if isinstance(split, NnunetFold):
        return split
    if isinstance(split, SlabSplit):
        return replace(split, test=None)
    if not isinstance(split.test, (int, float)):
        raise ValueError(f"Expected split.test=0, since the cases of {labels} are the test part, but got {split.test}.")
    if split.test:
        _logger.info("The cases of %s are the test part; split.test is not used.", labels)
    return replace(split, test=0.0)


def case_files(cases: Sequence[NnunetCase], channels: Sequence[int], *, prefix: str = "") -> list[CaseFiles]:
    """The chosen channels of cases of volumes, with their labels; each is a group of its name with the prefix."""
    return [
        CaseFiles(
            name=case.name,
            group=prefix + case.name,
            images=tuple(VolumeFile(case.images[number]) for number in channels),
            label=case.label,
        )
        for case in cases
    ]


def _as_image(case: NnunetCase, channels: tuple[int, ...], group: str | None, *, prefix: str = "") -> NnunetImage:
    return NnunetImage(
        name=case.name,
        group=prefix + case.name if group is None else group_in(case.images[0], group),
        files=case.images,
        label_path=case.label,
        channels=channels,
    )
