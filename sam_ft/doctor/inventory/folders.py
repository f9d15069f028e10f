"""Folders of images and label maps: `data=image_mask` and `data=semantic_maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from sam_ft.data.folders import expanded, listed
from sam_ft.data.groups import group_in
from sam_ft.data.semantic_maps import ClassValues, read_class_values
from sam_ft.data.splits import Part
from sam_ft.doctor.cases import Case, Inventory, Meaning
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.inventory.files import findings_of, pairs_in
from sam_ft.doctor.inventory.look import pixel_rule
from sam_ft.doctor.inventory.parts import assigned


def instance_maps(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `image_mask_splits`; raises as `_cases`."""
    cases, findings = _cases(arguments)
    return Inventory(
        cases=cases,
        meaning=Meaning.INSTANCES,
        findings=findings,
        smallest_px=arguments["min_area_px"],
        pixels=pixel_rule(arguments),
    )


def class_maps(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `semantic_maps_splits`; raises as `_cases` and `read_class_values`."""
    cases, findings = _cases(arguments)
    return Inventory(
        cases=cases,
        meaning=Meaning.CLASSES,
        findings=findings,
        values=_values(arguments),
        pixels=pixel_rule(arguments),
    )


def _cases(arguments: dict[str, Any]) -> tuple[list[Case], list[Finding]]:
    """The cases, and what is wrong with their listing.

    Raises:
        ValueError: Neither layout is found, a folder is missing or empty, or `group_in` raises.
    """
    root, images, labels = expanded(arguments["root"]), arguments["images"], arguments["labels"]
    rule = arguments.get("group")
    if (root / "train").is_dir() and (root / "val").is_dir():
        parts: list[Part] = [part for part in get_args(Part) if (root / part).is_dir()]
        found = {part: pairs_in(root / part / images, root / part / labels) for part in parts}
        cases = [
            Case(
                name=image.stem,
                part=part,
                group=group_in(image, rule) if rule else f"{part}/{image.stem}",
                image=image,
                label=label,
            )
            for part, pairs in found.items()
            for image, label in pairs.pairs
        ]
        return cases, findings_of(list(found.values()))
    if not (root / images).is_dir():
        raise ValueError(
            f"Expected {root} to hold the folders {images} and {labels}, or train and val (and test) with these "
            f"inside, but got {listed(root)}."
        )
    pairs = pairs_in(root / images, root / labels)
    groups = [group_in(image, rule) if rule else image.stem for image, _ in pairs.pairs]
    parts_of, findings = assigned(groups, arguments["split"])
    cases = [
        Case(name=image.stem, part=parts_of.get(group), group=group, image=image, label=label)
        for (image, label), group in zip(pairs.pairs, groups, strict=True)
    ]
    return cases, [*findings_of([pairs]), *findings]


def _values(arguments: dict[str, Any]) -> ClassValues:
    classes, ignored = arguments["classes"], arguments["ignored"]
    if classes is None:
        values = read_class_values(Path(expanded(arguments["root"])) / "classes.json")
        return values if ignored is None else ClassValues(values.classes, ignored=ignored)
    return ClassValues(classes, ignored=() if ignored is None else ignored)
