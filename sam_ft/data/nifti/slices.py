"""`NiftiSlices`: the slices of paired NIfTI files as samples."""

from __future__ import annotations

from collections.abc import Sequence

from sam_ft.data.nifti.cases import open_cases
from sam_ft.data.volumes.channels import Window, channels_of
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.slices import VolumeSlices


class NiftiSlices(VolumeSlices):
    """The slices of NIfTI volumes that hold an object; a sample holds exactly what nibabel reads from the whole file.

    Images and labels are paired by `pair_files`.

    Args:
        images: Glob pattern of the images, such as `"data/*/image.nii.gz"`, or three patterns, whose images become
            red, green and blue (T1, T2, FLAIR) and must lie on one grid.
        labels: Glob pattern of the labels, such as `"data/*/label.nii.gz"`.
        axis: "axial", "coronal" or "sagittal".
        objects: What counts as an object; None: every label value, from 10 pixels on.
        window: A CT window by name (`sam_ft.transforms.CT_WINDOWS`) or as (level, width) in HU; "file": the range
            that the header asks for (cal_min, cal_max). None: the 0.5 to 99.5 percentiles of each volume's
            foreground, as for MR. A list of three of these: one for each channel.
        slices: Which slices of each volume; see `VolumeSlices`.
        volume_index: Which volume of 4-D images. None: a labelled 4-D image is an error, and one without a label
            is left out with a warning, since no 3-D label can belong to it.
        cache: Where decoded volumes are kept and how many; None: `SliceCache()`.

    Raises:
        ValueError: A file without partner or with several, an unknown axis or window, or what `VolumeSlices` raises.
    """

    def __init__(
        self,
        images: str | Sequence[str],
        labels: str,
        *,
        axis: str = "axial",
        objects: ObjectRule | None = None,
        window: Window | Sequence[Window | None] | None = None,
        slices: tuple[float, float] | None = None,
        volume_index: int | None = None,
        cache: SliceCache | None = None,
    ) -> None:
        channels = channels_of(window, num_sequences=1 if isinstance(images, str) else len(images))
        volumes = open_cases(images, labels, plane=axis, volume_index=volume_index)
        super().__init__(volumes, channels=channels, objects=objects, slices=slices, cache=cache)
