"""Kvasir-SEG: 1000 endoscopic images of polyps.

Source: Simula Research Laboratory, https://datasets.simula.no/kvasir-seg/.
    D. Jha et al., "Kvasir-SEG: a segmented polyp dataset", MultiMedia Modeling 2020
Licence: research and education only; commercial use needs written permission. Checksum: the one with which torch-em
(`torch_em/data/datasets/medical/kvasir.py`) and others fetch the same address; the publisher states none.

    Kvasir-SEG/images/ID.jpg, Kvasir-SEG/masks/ID.jpg   masks as JPEG, of the image's size

Becomes PART/images as published and PART/labels, where each connected region of the mask is an object. A mask is what
is brighter than half; regions of less than 16 pixels are left out, since JPEG scatters such specks around a border.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from sam_ft.data.image_files import read_image
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target
from sam_ft.data.splits import GroupSplit

LEAST_AREA_PX = 16


def convert(material: Material, target: Target) -> None:
    """Images and masks, paired by name and divided by a hash."""
    root = material.folder_with("images", "masks")
    images = {path.stem: path for path in sorted((root / "images").glob("*.jpg"))}
    masks = {path.stem: path for path in sorted((root / "masks").glob("*.jpg"))}
    if not images:
        raise ValueError(material.missing("images/*.jpg with masks/*.jpg"))
    if lone := sorted(images.keys() ^ masks.keys()):
        raise ValueError(
            f"Expected an image and a mask of each name in {root}, but {', '.join(lone[:3])} has only one."
        )
    part_of = GroupSplit(val=0.1, test=0.1).assign(list(images))
    for part in ("train", "val", "test"):
        members = [
            LabelledImage(name, path, partial(regions_of, masks[name]))
            for name, path in images.items()
            if part_of[name] == part
        ]
        target.write_images(part, members)


def regions_of(path: Path) -> np.ndarray:
    """(H, W) numbers from 1: the regions of a mask; pixels that touch at a corner are connected."""
    regions, _ = ndimage.label(read_image(path)[..., 0] > 127, structure=np.ones((3, 3)))
    is_kept = np.bincount(regions.ravel()) >= LEAST_AREA_PX
    is_kept[0] = False  # the background is no region
    return np.where(is_kept, np.cumsum(is_kept), 0)[regions]


RECIPES = (
    Recipe(
        name="kvasir_seg",
        title="Polyps in endoscopy (Kvasir-SEG)",
        homepage="https://datasets.simula.no/kvasir-seg/",
        licence="research and education only",
        citation="D. Jha et al., Kvasir-SEG: a segmented polyp dataset, MultiMedia Modeling 2020",
        files=(
            RemoteFile(
                "https://datasets.simula.no/downloads/kvasir-seg.zip",
                "kvasir-seg.zip",
                megabytes=46.2,
                checksum="sha256:03b30e21d584e04facf49397a2576738fd626815771afbbf788f74a7153478f7",
            ),
        ),
        unpacked_mb=50,
        splits="A tenth of the images is val and a tenth test, chosen by a hash of their names. Which images are of "
        "one patient is not published.",
        convert=convert,
        fit="data=image_mask data.root={root} data.class_name=polyp",
    ),
)
