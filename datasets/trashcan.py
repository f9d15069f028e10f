"""TrashCan 1.0: 7212 underwater images with litter, vehicles, animals and plants.

Source: Data Repository for the University of Minnesota, https://conservancy.umn.edu/handle/11299/214865.
    J. Hong, M. Fulton, J. Sattar, "TrashCan: a semantically-segmented dataset towards visual detection of marine
    debris", arXiv:2007.08097
Licence: free for academic teaching and research; commercial use needs the permission of JAMSTEC, whose videos these
are. Checksum: not published.

    dataset/instance_version/train/*.jpg, val/*.jpg
    dataset/instance_version/instances_train_trashcan.json, instances_val_trashcan.json

Becomes PART/images and PART/annotations.json in COCO's format. The other version of the classes (material_version) is
not read. The images are frames of videos, by their names (vid_000002_frame0000012.jpg); how many videos have frames in
both published parts is said.
"""

from __future__ import annotations

import logging

from sam_ft.data.preparing.coco import FIT, read_coco, write_coco
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target
from sam_ft.data.splits import Part

_logger = logging.getLogger("sam_ft.prepare")

PARTS: tuple[Part, ...] = ("train", "val")
VERSION = "instance_version"


def convert(material: Material, target: Target) -> None:
    """The published parts of the version by instances."""
    files = [f"instances_{part}_trashcan.json" for part in PARTS]
    top = material.maybe_folder_with(VERSION)
    root = top / VERSION if top is not None else material.folder_with(*files, *PARTS)
    videos = []
    for part, file in zip(PARTS, files, strict=True):
        annotations = read_coco(root / file)
        write_coco(target, part, annotations, {path.name: path for path in (root / part).glob("*.jpg")})
        videos.append({name.partition("_frame")[0] for name in annotations.names})
    if shared := videos[0] & videos[1]:
        num_videos = len(videos[0] | videos[1])
        _logger.warning("%d of %d videos have frames in both published parts.", len(shared), num_videos)


RECIPES = (
    Recipe(
        name="trashcan",
        title="Litter and animals under water (TrashCan 1.0)",
        homepage="https://conservancy.umn.edu/handle/11299/214865",
        licence="teaching and research only; commercial use needs JAMSTEC's permission",
        citation="J. Hong, M. Fulton, J. Sattar, TrashCan: a semantically-segmented dataset towards visual detection "
        "of marine debris, arXiv:2007.08097",
        files=(
            RemoteFile(
                "https://conservancy.umn.edu/bitstream/handle/11299/214865/dataset.zip?sequence=12&isAllowed=y",
                "dataset.zip",
                megabytes=553,
            ),
        ),
        unpacked_mb=1000,
        splits="As published: train and val. They are divided by images, not by the videos that these are frames of.",
        convert=convert,
        fit=FIT,
    ),
)
