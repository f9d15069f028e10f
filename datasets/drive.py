"""DRIVE: 40 colour photographs of the retina with its vessels.

Source: Digital Retinal Images for Vessel Extraction, https://drive.grand-challenge.org.
    J. Staal et al., "Ridge-based vessel segmentation in color images of the retina", IEEE Transactions on Medical
    Imaging 23, 2004
Licence: free for research and education; no redistribution, and only for those who got it from its website, which wants
a login. So it is fetched by hand. Checksums: not published.

    training/images/21_training.tif, training/1st_manual/21_manual1.gif, training/mask/21_training_mask.gif
    test/images/01_test.tif, test/mask/01_test_mask.gif, and, in older copies, test/1st_manual/01_manual1.gif

Becomes PART/images as published and PART/labels: 1 vessel, 0 none, 255 outside the field of view, where nobody looked.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from sam_ft.data.image_files import read_image
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target
from sam_ft.data.splits import GroupSplit

VOID = 255


def convert(material: Material, target: Target) -> None:
    """The training images divided by a hash, the test images where they have labels."""
    trained = images_of(material.folder_with("training/1st_manual") / "training")
    if not trained:
        raise ValueError(material.missing("training/1st_manual/21_manual1.gif"))
    held_out = material.maybe_folder_with("test/1st_manual")
    tested = images_of(held_out / "test") if held_out is not None else []
    part_of = GroupSplit(val=0.2, test=0.0 if tested else 0.2).assign([image.name for image in trained])
    for part in ("train", "val", "test"):
        members = [image for image in trained if part_of[image.name] == part]
        members = tested if part == "test" and tested else members
        if members:
            target.write_class_maps(part, members)
    target.write_class_names(["background", "vessel"], void=VOID)


def images_of(folder: Path) -> list[LabelledImage]:
    """The images of a folder that have labels and a field of view.

    Raises:
        ValueError: Labels without their image or without their field of view.
    """
    images = []
    for manual in sorted((folder / "1st_manual").glob("*_manual1.gif")):
        number = manual.name.removesuffix("_manual1.gif")
        found = [sorted((folder / kind).glob(f"{number}_*")) for kind in ("images", "mask")]
        if not all(found):
            raise ValueError(f"Expected {number}_* in {folder / 'images'} and {folder / 'mask'} for {manual}.")
        image, view = (paths[0] for paths in found)
        images.append(LabelledImage(number, image, partial(labels_of, manual, view)))
    return images


def labels_of(manual: Path, view: Path) -> np.ndarray:
    """(H, W): 1 vessel, 0 none, 255 outside the field of view."""
    vessels, inside = (read_image(path)[..., 0] > 127 for path in (manual, view))
    if vessels.shape != inside.shape:
        raise ValueError(f"Expected {manual} and {view} of one size, but got {vessels.shape} and {inside.shape}.")
    return np.where(inside, vessels, VOID).astype(np.uint8)


RECIPES = (
    Recipe(
        name="drive",
        title="Vessels of the retina (DRIVE)",
        homepage="https://drive.grand-challenge.org",
        licence="research and education only, no redistribution",
        citation="J. Staal et al., Ridge-based vessel segmentation in color images of the retina, IEEE Transactions on "
        "Medical Imaging 23, 2004",
        files=(
            RemoteFile("https://drive.grand-challenge.org", "training.zip", megabytes=15),
            RemoteFile("https://drive.grand-challenge.org", "test.zip", megabytes=15),
        ),
        unpacked_mb=100,
        splits="test is the published test set where the source has its labels, as older copies do. A fifth of "
        "the training images is val, chosen by a hash; without labels of the test set another fifth is test.",
        convert=convert,
        fit="data=semantic_maps data.root={root}",
        by_hand="log in at https://drive.grand-challenge.org, download training.zip and test.zip, and give --source "
        "the folder that holds them or what they unpack to.",
    ),
)
