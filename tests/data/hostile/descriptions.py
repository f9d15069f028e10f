"""Hostile descriptions of data sets: `dataset.json` of nnU-Net and of the Decathlon, and lists of folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sam_ft.data.msd import msd_splits
from sam_ft.data.nnunet.folds import NnunetFold
from sam_ft.data.nnunet.parts import nnunet_splits
from sam_ft.data.splits import GroupSplit
from tests.data.hostile import texts, volumes
from tests.data.hostile.case import Case, broken, make_pipe

SPLIT = GroupSplit(val=["b"], test=0)


def description_cases() -> Iterator[Case]:
    """All of this file."""
    for group, read, good, described in (
        ("nnU-Net's descriptions", read_nnunet, NNUNET, NO_NNUNET),
        ("MSD's descriptions", read_msd, MSD, NO_MSD),
        ("nnU-Net's folds", read_folds, FOLDS, NO_FOLDS),
    ):
        for name, bad, may_be_read in broken(texts.dumped(good), cuts=5, flips=6):
            yield Case(group, name, "dataset.json", bad, read, may_be_read)
        for name, content in described.items():
            yield Case(group, name, "dataset.json", texts.dumped(content), read)
        yield Case(group, "nested without end", "dataset.json", texts.DEEP, read)
        yield Case(group, "a pipe", "dataset.json", make_pipe, read)


def write_volume_cases(folder: Path, *, channel: str) -> None:
    for name in "ab":
        for part, suffix in (("images", channel), ("labels", "")):
            (folder / f"{part}Tr").mkdir(exist_ok=True)
            content = volumes.saved(volumes.VOXELS.astype(np.uint8))
            (folder / f"{part}Tr" / f"{name}{suffix}.nii").write_bytes(content)


def read_nnunet(path: Path) -> object:
    write_volume_cases(path.parent, channel="_0000")
    return list(nnunet_splits(path.parent, split=SPLIT).train)


def read_msd(path: Path) -> object:
    write_volume_cases(path.parent, channel="")
    return list(msd_splits(path.parent, split=SPLIT).train)


def read_folds(path: Path) -> object:
    return NnunetFold(path).assign(["a", "b"])


LONG = "x" * 5000
NNUNET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "b": 2}, "file_ending": ".nii"}
NO_NNUNET: Mapping[str, object] = {
    "an array": [NNUNET],
    "no channels": NNUNET | {"channel_names": {}},
    "a million channels": NNUNET | {"channel_names": {str(number): "a" for number in range(100_000)}},
    "channels of high numbers alone": NNUNET | {"channel_names": {str(10**6 + number): "a" for number in range(9999)}},
    "channels without a first": NNUNET | {"channel_names": {"1": "CT"}},
    "channels of numbers": NNUNET | {"channel_names": {"0": 7}},
    "an ending that is a list": NNUNET | {"file_ending": [".nii"]},
    "an ending without end": NNUNET | {"file_ending": LONG},
    "no labels": NNUNET | {"labels": None},
    "labels without end": NNUNET | {"labels": {LONG: LONG}},
    "negative labels": NNUNET | {"labels": {LONG: -1}},
    "labels of fractions": NNUNET | {"labels": {"a": 1.5}},
    "labels that are missing": NNUNET | {"labels": {"a": 1}},
    "a case outside": NNUNET | {"dataset": {"a": {"images": ["../../../../etc/passwd"], "label": "b"}}},
    "a case with a name without end": NNUNET | {"dataset": {"a": {"images": [LONG], "label": "b"}}},
    "a case with a name that ends within": NNUNET | {"dataset": {"a": {"images": ["a\0b"], "label": "b"}}},
    "a case that is a list": NNUNET | {"dataset": {"a": [1] * 5000}},
    "cases that are a list": NNUNET | {"dataset": [1] * 5000},
}
MSD = {
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "a", "2": "b"},
    "training": [{"image": f"./imagesTr/{name}.nii", "label": f"./labelsTr/{name}.nii"} for name in "ab"],
}
NO_MSD: Mapping[str, object] = {
    "an array": [MSD],
    "no modality": MSD | {"modality": None},
    "two modalities": MSD | {"modality": {"0": "CT", "1": "CT2"}},
    "no cases": MSD | {"training": []},
    "cases without end": MSD | {"training": LONG},
    "a case that is a list": MSD | {"training": [[1] * 5000]},
    "a case without label": MSD | {"training": [{"image": "./imagesTr/a.nii"}]},
    "a case twice": MSD | {"training": [MSD["training"][0]] * 2},  # type: ignore[index]
    "a case outside": MSD | {"training": [{"image": "../../../../etc/passwd", "label": "labelsTr/a.nii"}]},
    "a case with a name without end": MSD | {"training": [{"image": LONG, "label": LONG}]},
    "a label of 2 ** 80": MSD | {"labels": {str(texts.BIG): "a"}},
    "a label of 5000 digits": MSD | {"labels": {"9" * 5000: "a"}},
    "labels without names": MSD | {"labels": {"1": None}},
    "labels that are missing": MSD | {"labels": {"1": "a"}},
}
FOLDS = [{"train": ["a"], "val": ["b"]}]
NO_FOLDS: Mapping[str, object] = {
    "an object": {"0": FOLDS[0]},
    "no folds": [],
    "a fold that is a list": [["a", "b"]],
    "a fold without val": [{"train": ["a", "b"]}],
    "cases of numbers": [{"train": [1] * 5000, "val": ["b"]}],
    "a case in both": [{"train": ["a", "b"], "val": ["b"]}],
    "a case in none": [{"train": ["a"], "val": ["c"]}],
}
