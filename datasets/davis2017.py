"""DAVIS 2017: 90 short videos at 480p with a mask for each object in each frame, read here as single images.

Source: 2017 DAVIS Challenge, https://davischallenge.org/davis2017/code.html.
    J. Pont-Tuset et al., "The 2017 DAVIS challenge on video object segmentation", arXiv:1704.00675
Licence: BSD, as https://github.com/fperazzi/davis says. Checksums: not published.

    DAVIS/JPEGImages/480p/SEQUENCE/00000.jpg
    DAVIS/Annotations/480p/SEQUENCE/00000.png   a palette, whose index is the object
    DAVIS/ImageSets/2017/train.txt, val.txt     one sequence a line

Becomes PART/images/SEQUENCE_00000.jpg and PART/labels/SEQUENCE_00000.png, bytes unchanged.
"""

from __future__ import annotations

from pathlib import Path

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target
from sam_ft.data.splits import Part

PARTS: tuple[Part, ...] = ("train", "val")


def convert(material: Material, target: Target) -> None:
    """The sequences of the published lists."""
    root = material.folder_with("JPEGImages", "Annotations", "ImageSets")
    for part in PARTS:
        path = root / "ImageSets" / "2017" / f"{part}.txt"
        if not path.is_file():
            raise ValueError(f"Expected the list of sequences {path}, but there is no such file.")
        names = path.read_text(encoding="utf-8").split()
        target.write_images(part, [frame for name in names for frame in frames_of(root, name)])


def frames_of(root: Path, sequence: str) -> list[LabelledImage]:
    """The frames of a sequence that have masks.

    Raises:
        ValueError: There are none, or a mask has no frame.
    """
    frames, masks = (root / kind / "480p" / sequence for kind in ("JPEGImages", "Annotations"))
    found = [
        LabelledImage(f"{sequence}_{mask.stem}", frames / f"{mask.stem}.jpg", mask)
        for mask in sorted(masks.glob("*.png"))
    ]
    if not found:
        raise ValueError(f"Expected masks of the sequence {sequence} in {masks}, but found none.")
    for frame in found:
        if not frame.image.is_file():
            raise ValueError(f"Expected the frame {frame.image} of its mask {frame.labels}, but there is no such file.")
    return found


RECIPES = (
    Recipe(
        name="davis2017",
        title="Objects in videos, as single images (DAVIS 2017, 480p)",
        homepage="https://davischallenge.org/davis2017/code.html",
        licence="BSD",
        citation="J. Pont-Tuset et al., The 2017 DAVIS challenge on video object segmentation, arXiv:1704.00675",
        files=(
            RemoteFile(
                "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
                "DAVIS-2017-trainval-480p.zip",
                megabytes=833,
            ),
        ),
        unpacked_mb=850,
        splits="As published: 60 sequences train, 30 val. The masks of the two test sets are not published.",
        convert=convert,
        fit="data=image_mask data.root={root}",
    ),
)
