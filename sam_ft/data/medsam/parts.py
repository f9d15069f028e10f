"""MedSAM's prepared data in training, validation and test parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from sam_ft.data.folders import expanded, listed, pair_by_stem, parts_in_folders
from sam_ft.data.folds import FoldSplit
from sam_ft.data.groups import group_in
from sam_ft.data.label_names import label_names_in
from sam_ft.data.labelled_images import LabelledImages, groups_of_images, image_splits
from sam_ft.data.medsam.archives import Archive, open_archives
from sam_ft.data.medsam.images import NpyImage, NpzImage
from sam_ft.data.medsam.volumes import open_archive_image, open_archive_label
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.cases import CaseFiles, LabelledVolume, VolumeFile, open_case
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.parts import volume_splits
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.data.volumes.view import View, share_of_images, volume_slices

_SLICE_NUMBER = re.compile(r"-\d{3,}$")
"""What MedSAM adds to the name of a volume for each slice of it that becomes a `.npy` file."""
_AS_STORED = (127.5, 255.0)
"""The window that leaves numbers of 8 bits as they are."""
_AUGMENTATION = "medical"


def medsam_splits(
    root: str | Path,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    objects: ObjectRule | None = None,
    axis: str = "axial",
    **view: Unpack[View],
) -> DataSplits:
    """A folder of `.npz` archives (also in folders inside), or of `imgs/*.npy` and `gts/*.npy`.

    Archives of volumes are `VolumeSlices`, all else `LabelledImages`. `ROOT/train`, `ROOT/val` and, where there is one,
    `ROOT/test`: these folders are the parts and `split` is not used. A file `ROOT/labels.json`, such as
    `{"liver": 1, "spleen": 2}`, names the label values; else each is a class of its own. Boxes in archives are not
    read, since prompts are simulated from the labels.

    Args:
        root: The folder; `~` and environment variables are expanded.
        split: How archives or files are divided where no folders do.
        group: What stays together: that for which the first parentheses of this regular expression match the same text
            in the path; folders that are the parts must not share it. None: an archive; of `.npy` files those whose
            names differ in the slice's number alone, which MedSAM writes at the end (`CT_Abd_0001-012.npy`).
        objects: What counts as an object.
        axis: Along which volumes are cut.
        **view: How they are cut and shown; without a window, images of 8 bits are shown as they are stored. Of
            single images only `empty` is used; the others and an axis must not be given.

    Raises:
        ValueError: Neither layout, a damaged file, shapes that do not belong to each other, Python objects instead of
            numbers, a label value that `labels.json` does not name, or what the data sets and splits raise.

    Source: MedSAM, `pre_CT_MR.py` (archives) and `train_one_gpu.py` (pairs of files).
    """
    folder = expanded(root)
    names, rule = label_names_in(folder), objects or ObjectRule()
    seed = getattr(split, "seed", 0)

    def read(part: Path) -> VolumeSlices | LabelledImages:
        volumes, images, shown = cases_in(part, group=group, axis=axis, view=view)
        if volumes:
            return volume_slices(volumes, objects=rule, names=names, seed=seed, **shown)
        dataset = LabelledImages(images, objects=rule, names=names, suited_augmentation=_AUGMENTATION)
        return dataset.with_empty(share_of_images(view, axis=axis), seed=seed)

    if parts := parts_in_folders(folder, read, files=_files, group=group):
        return parts
    volumes, images, shown = cases_in(folder, group=group, axis=axis, view=view)
    if volumes:
        return volume_splits(volumes, objects=rule, names=names, split=split, group=group, **shown)
    by_group, empty = groups_of_images(split), share_of_images(view, axis=axis)
    return image_splits(
        images, objects=rule, names=names, split=by_group, empty=empty, suited_augmentation=_AUGMENTATION
    )


def cases_in(
    folder: Path, *, group: str | None, axis: str, view: View
) -> tuple[list[LabelledVolume], list[NpzImage] | list[NpyImage], View]:
    """The volumes of a folder or its single images, one of which is empty, and how the volumes are shown.

    Raises:
        ValueError: Neither layout or both, or what is said of `medsam_splits`.
    """
    archives = open_archives(folder)
    has_pairs = (folder / "imgs").is_dir() or (folder / "gts").is_dir()
    if bool(archives) == has_pairs:
        raise ValueError(
            f"Expected either .npz archives or the folders imgs and gts in {folder}, but got {listed(folder)}."
        )
    if has_pairs:
        return [], [_pair(*pair, group=group) for pair in pair_by_stem(folder / "imgs", folder / "gts")], view
    if not archives[0].is_volume:
        return [], [_single(archive, group=group) for archive in archives], view
    if view.get("window") is None and all(archive.imgs.dtype == np.uint8 for archive in archives):
        view = {**view, "window": _AS_STORED}
    return _volumes(archives, axis=axis), [], view


def _files(samples: VolumeSlices | LabelledImages) -> tuple[Path, ...]:
    """Those that the images are read from."""
    if isinstance(samples, LabelledImages):
        return samples.image_files
    return tuple(image.path for volume in samples.volumes for image in volume.images)


def _volumes(archives: Sequence[Archive], *, axis: str) -> list[LabelledVolume]:
    """Grey volumes, or red, green and blue of each where any has colours."""
    num_images = 3 if any(archive.is_colour for archive in archives) else 1
    open_image = partial(open_archive_image, plane=axis)
    volumes = []
    for archive in archives:
        images = tuple(VolumeFile(archive.path, n if archive.is_colour else None) for n in range(num_images))
        case = CaseFiles(name=archive.name, group=archive.name, images=images, label=archive.path)
        volumes.append(open_case(case, open_image=open_image, open_label=open_archive_label))
    return volumes


def _single(archive: Archive, *, group: str | None) -> NpzImage:
    together = archive.name if group is None else group_in(archive.path, group)
    return NpzImage(name=archive.name, group=together, label_path=archive.path, pixel_mm=archive.pixel_mm)


def _pair(image: Path, label: Path, *, group: str | None) -> NpyImage:
    if wrong := [path for path in (image, label) if path.suffix.lower() != ".npy"]:
        raise ValueError(f"Expected .npy files in imgs and gts, but got {wrong[0]}; data=image_mask reads images.")
    together = _SLICE_NUMBER.sub("", image.stem) if group is None else group_in(image, group)
    return NpyImage(name=image.stem, group=together, image_path=image, label_path=label)
