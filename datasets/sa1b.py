"""SA-1B: 11 million photographs with 1.1 billion masks, in 1000 archives; as many of them as there is room for.

Source: Segment Anything 1 Billion, https://ai.meta.com/datasets/segment-anything/.
    A. Kirillov et al., "Segment anything", ICCV 2023
Licence: SA-1B Dataset Research License, for research only; it has to be accepted on the page, which then gives a list
of links (file_name, cdn_link) that expire. Checksums: not published.

    sa_000020.tar: sa_223750.jpg, sa_223750.json   masks in COCO's run lengths

    sam-ft prepare sa1b --source links.txt --limit 2      the first 2 archives of the list
    sam-ft prepare sa1b --source archives/                archives that are here already, or what they unpack to

Becomes PART/sa_N.jpg with PART/sa_N.json, as published.
"""

from __future__ import annotations

from pathlib import Path

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import Target
from sam_ft.data.splits import GroupSplit

SHARD_MB = 11000


def convert(material: Material, target: Target) -> None:
    """The photographs that have masks, divided by a hash."""
    masks = {path.stem: path for path in material.files(".json") if path.stem.startswith("sa_")}
    images = {path.stem: path for path in material.files(".jpg") if path.stem in masks}
    if not images:
        raise ValueError(material.missing("sa_1.jpg with sa_1.json"))
    if lone := sorted(masks.keys() - images.keys()):
        raise ValueError(f"Expected the photograph of {masks[lone[0]]} beside it, but there is none.")
    part_of = GroupSplit(val=0.01, test=0.01).assign(list(images))
    for part in ("train", "val", "test"):
        for name in target.progress(part, sorted(name for name in images if part_of[name] == part)):
            for path in (images[name], masks[name]):
                target.take(path, target.folder / part / path.name)
            target.count(part, images=1)


def read_links(path: Path) -> list[RemoteFile]:
    """The archives of a list of links, in its order.

    Raises:
        ValueError: It is another file.
    """
    files = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words == ["file_name", "cdn_link"]:
            continue
        if len(words) != 2 or not words[0].endswith(".tar") or "/" in words[0] or not words[1].startswith("http"):
            raise ValueError(f"Expected `sa_000000.tar https://...` in line {number} of {path}, but got {line[:80]!r}.")
        files.append(RemoteFile(words[1], words[0], megabytes=SHARD_MB))
    if not files:
        raise ValueError(f"Expected lines such as `sa_000000.tar https://...` in {path}, but there is none.")
    return files


RECIPES = (
    Recipe(
        name="sa1b",
        title="Photographs with masks of everything, part by part (SA-1B)",
        homepage="https://ai.meta.com/datasets/segment-anything/",
        licence="SA-1B Dataset Research License, research only",
        citation="A. Kirillov et al., Segment anything, ICCV 2023",
        files=(),
        unpacked_mb=SHARD_MB,
        splits="None is published. A hundredth of the photographs is val and a hundredth test, chosen by a hash of "
        "their names.",
        convert=convert,
        fit="data=sa1b data.root={root}",
        by_hand="accept the licence at https://ai.meta.com/datasets/segment-anything-downloads/, save the list of "
        "links, and give --source links.txt --limit 1 for its first archive of 11 GB.",
        read_links=read_links,
    ),
)
