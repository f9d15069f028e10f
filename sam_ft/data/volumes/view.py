"""How volumes of any format are cut and shown, and the slices of opened volumes that are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

from sam_ft.data.label_names import LabelNames
from sam_ft.data.volumes.cases import LabelledVolume
from sam_ft.data.volumes.channels import Window, channels_of
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.slices import VolumeSlices


class View(TypedDict, total=False):
    """The settings that all configs of volumes share, beside `axis`, which volumes are opened with.

    `window`, `slices` and `cache` are those of `NiftiSlices`; `crop` is "foreground" for `VolumeSlices.cropped`,
    `neighbours` the distance for `VolumeSlices.with_neighbours`, `empty` the share for `VolumeSlices.with_empty`.
    """

    window: Window | Sequence[Window | None] | None
    slices: tuple[float, float] | None
    crop: Literal["foreground"] | None
    neighbours: int | None
    empty: float
    cache: SliceCache | None


def volume_slices(
    volumes: Sequence[LabelledVolume],
    *,
    objects: ObjectRule | None = None,
    names: LabelNames | None = None,
    seed: int = 0,
    **view: Unpack[View],
) -> VolumeSlices:
    """The slices of some volumes, which all have one image or all have three.

    Args:
        volumes: One or more.
        objects: What counts as an object.
        names: What the label values mean; classes that `objects` does not name are these.
        seed: Which slices without object are drawn.
        **view: How they are cut and shown.

    Raises:
        ValueError: As `VolumeSlices` and its methods, or an unknown `crop`.
    """
    crop, neighbours, empty = view.get("crop"), view.get("neighbours"), view.get("empty", 0.0)
    if crop not in (None, "foreground"):
        raise ValueError(f'Expected `crop` to be "foreground" or null, but got {crop!r}.')
    dataset = VolumeSlices(
        volumes,
        channels=channels_of(view.get("window"), num_sequences=len(volumes[0].images)),
        objects=objects,
        names=names,
        slices=view.get("slices"),
        cache=view.get("cache"),
    )
    dataset = dataset.with_empty(empty, seed=seed) if empty else dataset
    dataset = dataset.cropped() if crop else dataset
    return dataset if neighbours is None else dataset.with_neighbours(neighbours)


def share_of_images(view: View, *, axis: str) -> float:
    """The share of single images without object that is wanted, of a data set that has images instead of volumes.

    Raises:
        ValueError: A setting that only volumes have.
    """
    given = [name for name in ("window", "slices", "crop", "neighbours") if view.get(name) is not None]
    if axis != "axial":
        given.append("axis")
    if given:
        raise ValueError(f"Expected settings of single images alone, but {', '.join(given)} is of volumes: give null.")
    return view.get("empty", 0.0)
