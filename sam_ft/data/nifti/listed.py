"""`NiftiSlices` of cases that a description lists, instead of patterns that pair files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypedDict, Unpack

from sam_ft.data.label_names import LabelNames
from sam_ft.data.nifti.cases import CaseFiles, open_case
from sam_ft.data.nifti.channels import Window, channels_of
from sam_ft.data.nifti.objects import ObjectRule
from sam_ft.data.nifti.parts import SliceChoice, divided_slices, expect_named, refuse_twins
from sam_ft.data.nifti.slice_cache import SliceCache
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.splits import DataSplits, GroupRule, SlabSplit


class View(TypedDict, total=False):
    """How volumes are cut and shown; the settings of `data=nifti` of the same names."""

    axis: str
    window: Window | Sequence[Window | None] | None
    slices: tuple[float, float] | None
    crop: Literal["foreground"] | None
    neighbours: int | None
    empty: float
    cache: SliceCache | None


def listed_slices(
    cases: Sequence[CaseFiles], *, objects: ObjectRule, names: LabelNames | None, seed: int, **view: Unpack[View]
) -> NiftiSlices:
    """The slices of some cases, which all have one image or all have three.

    Args:
        cases: One or more.
        objects: What counts as an object; classes that it does not name are those of `names`.
        names: What the label values mean; None: whatever value there is.
        seed: Which slices without object are drawn.
        **view: How they are cut and shown.

    Raises:
        ValueError: As `NiftiSlices`, or a label value that `names` does not know.
    """
    choice = SliceChoice(view.get("crop"), view.get("neighbours"), view.get("empty", 0.0))
    channels = channels_of(view.get("window"), num_sequences=len(cases[0].images))
    dataset = NiftiSlices.of(
        [open_case(case, plane=view.get("axis", "axial")) for case in cases],
        channels=channels,
        objects=objects if names is None else names.rule(objects),
        slices=view.get("slices"),
        cache=view.get("cache"),
    )
    expect_named(dataset, names)
    return choice.of(dataset, seed=seed)


def listed_splits(
    cases: Sequence[CaseFiles],
    test: Sequence[CaseFiles] = (),
    *,
    objects: ObjectRule,
    names: LabelNames | None,
    split: GroupRule | SlabSplit,
    group: str | None,
    **view: Unpack[View],
) -> DataSplits:
    """`listed_slices` in parts.

    Args:
        cases: What the split divides.
        test: Cases that are the test part; none: what the split says.
        objects: What counts as an object.
        names: What the label values mean.
        split: Which cases or slices belong to which part; its seed, if it has one, draws slices without object too.
        group: Which cases stay together, as of `nifti_splits`.
        **view: How they are cut and shown.

    Raises:
        ValueError: As `listed_slices` and `divided_slices`, or one image in two parts.
    """
    seed = getattr(split, "seed", 0)
    dataset = listed_slices(cases, objects=objects, names=names, seed=seed, **view)
    parts = divided_slices(dataset, split, group=group, reach=view.get("neighbours") or 0)
    if not test:
        return parts
    held_out = listed_slices(test, objects=objects, names=names, seed=seed, **view)
    refuse_twins(
        [*((volume, "train") for volume in dataset.volumes), *((volume, "test") for volume in held_out.volumes)]
    )
    return replace(parts, test=held_out)


def share_of_images(view: View) -> float:
    """The share of single images without object that is wanted.

    Raises:
        ValueError: A setting that only volumes have.
    """
    given = [name for name in ("window", "slices", "crop", "neighbours") if view.get(name) is not None]
    if view.get("axis", "axial") != "axial":
        given.append("axis")
    if given:
        raise ValueError(f"Expected settings of single images alone, but {', '.join(given)} is of volumes: give null.")
    return view.get("empty", 0.0)
