"""LIVECell: phase-contrast images of eight cell lines, with 1.6 million cells.

Source: https://sartorius-research.github.io/LIVECell/.
    C. Edlund et al., "LIVECell: a large-scale dataset for label-free live cell segmentation", Nature Methods 18, 2021
Licence: CC BY-NC 4.0. Checksums: not published.

    images/livecell_train_val_images/*.tif, images/livecell_test_images/*.tif, or in a folder a cell line within these
    livecell_coco_train.json, livecell_coco_val.json, livecell_coco_test.json

Becomes PART/images and PART/annotations.json in COCO's format, since cells overlap. The annotations of the training
part take some gigabytes of memory while they are read.
"""

from __future__ import annotations

from sam_ft.data.preparing.coco import FIT, read_coco, write_coco
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target
from sam_ft.data.splits import Part

PARTS: tuple[Part, ...] = ("train", "val", "test")


def convert(material: Material, target: Target) -> None:
    """The published parts."""
    paths = {path.name: path for path in material.files(".tif")}
    for part in PARTS:
        write_coco(target, part, read_coco(material.file(f"livecell_coco_{part}.json")), paths)


_URL = "http://livecell-dataset.s3.eu-central-1.amazonaws.com/LIVECell_dataset_2021"
_ANNOTATIONS_MB = 500
"""Of each file, guessed rather too high: the publisher states no size."""

RECIPES = (
    Recipe(
        name="livecell",
        title="Cells in phase contrast (LIVECell)",
        homepage="https://sartorius-research.github.io/LIVECell/",
        licence="CC BY-NC 4.0",
        citation="C. Edlund et al., LIVECell: a large-scale dataset for label-free live cell segmentation, Nature "
        "Methods 18, 2021",
        files=(
            RemoteFile(f"{_URL}/images.zip", "images.zip", megabytes=1300),
            *(
                RemoteFile(
                    f"{_URL}/annotations/LIVECell/livecell_coco_{part}.json",
                    f"livecell_coco_{part}.json",
                    megabytes=_ANNOTATIONS_MB,
                )
                for part in PARTS
            ),
        ),
        unpacked_mb=4000,
        splits="As published: train, val and test.",
        convert=convert,
        fit=FIT,
    ),
)
