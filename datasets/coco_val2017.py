"""COCO val2017: 5000 photographs with 36 781 objects of 80 classes.

Source: Common Objects in Context, https://cocodataset.org/#download.
    T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014
Licence: annotations CC BY 4.0; each photograph has a licence of its own, which the annotations name. Checksums: the MD5
with which MLCommons and others fetch the same addresses; the publisher states none.

    val2017/000000000139.jpg
    annotations/instances_val2017.json   of annotations_trainval2017.zip, whose other files are not read

Becomes PART/images and PART/annotations.json in COCO's format.
"""

from __future__ import annotations

from sam_ft.data.preparing.coco import FIT, read_coco, write_coco
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target
from sam_ft.data.splits import GroupSplit


def convert(material: Material, target: Target) -> None:
    """The photographs divided by a hash."""
    annotations = read_coco(material.file("instances_val2017.json"))
    paths = {path.name: path for path in material.files(".jpg") if path.parent.name == "val2017"}
    part_of = GroupSplit(val=0.2, test=0.2).assign(annotations.names)
    for part in ("train", "val", "test"):
        write_coco(target, part, annotations.only([name for name in part_of if part_of[name] == part]), paths)


_URL = "http://images.cocodataset.org"

RECIPES = (
    Recipe(
        name="coco_val2017",
        title="Photographs with objects of 80 classes (COCO val2017)",
        homepage="https://cocodataset.org",
        licence="annotations CC BY 4.0; photographs have licences of their own",
        citation="T.-Y. Lin et al., Microsoft COCO: common objects in context, ECCV 2014",
        files=(
            RemoteFile(
                f"{_URL}/zips/val2017.zip",
                "val2017.zip",
                megabytes=815.6,
                checksum="md5:442b8da7639aecaf257c1dceb8ba8c80",
            ),
            RemoteFile(
                f"{_URL}/annotations/annotations_trainval2017.zip",
                "annotations_trainval2017.zip",
                megabytes=252.9,
                checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c",
            ),
        ),
        unpacked_mb=1700,
        splits="val2017 is one part; here a fifth of its photographs is val and a fifth test, chosen by a hash of "
        "their names. Models that learnt COCO's train2017 have not seen any of them.",
        convert=convert,
        fit=FIT,
    ),
)
