"""What the numbers in labels mean: unknown and absent classes, class maps taken for instance maps and the reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sam_ft.doctor.cases import Inventory, Meaning
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import LabelFacts, Seen

_MOST_CLASSES = 40
"""More values than these in a whole data set are no classes."""
_MOSTLY = 0.5
_MANY_PIECES = 2


@dataclass(frozen=True)
class ValueUse:
    """How often a value occurs."""

    value: int
    num_labels: int
    num_pixels: int


def value_table(seen: Sequence[Seen]) -> list[ValueUse]:
    """Every value above 0 of all labels, rising."""
    labels, pixels = Counter[int](), Counter[int]()
    for each in seen:
        if each.label is not None:
            labels.update(each.label.values.keys())
            pixels.update(each.label.values)
    return [ValueUse(value, labels[value], pixels[value]) for value in sorted(labels)]


def check_values(seen: Sequence[Seen], inventory: Inventory) -> Iterator[Finding]:
    """Of all labels that could be read."""
    labelled = [(each, each.label) for each in seen if each.label is not None]
    if not labelled:
        return
    if inventory.is_volumes:
        yield from _volume_classes(labelled, inventory)
    elif inventory.meaning == Meaning.CLASSES:
        yield from _map_classes(labelled, inventory)
    else:
        yield from _classes_as_instances(labelled)


Labelled = Sequence[tuple[Seen, LabelFacts]]


def _classes_as_instances(labelled: Labelled) -> Iterator[Finding]:
    """Values whose pixels lie in several places, and that come again in most images, are no single objects."""
    with_values = [(seen, label) for seen, label in labelled if label.pieces]
    every = {value for _, label in with_values for value in label.values}
    torn = [
        Found(_label_of(seen), f"value {value} in {label.pieces[value]} pieces")
        for seen, label in with_values
        if (value := max(label.pieces, key=lambda each: label.pieces[each])) and _is_torn(label)
    ]
    if len(every) > _MOST_CLASSES or len(torn) < _MOSTLY * len(with_values) or not torn:
        return
    is_binary = len(every) == 1
    text = (
        f"{counted(len(torn), 'label map')} of {len(with_values):,} in which one value marks several separate things, "
        f"with {counted(len(every), 'value')} in all: "
        + ("a map of foreground" if is_binary else "a map of classes")
        + ", not of single objects. All things of a value are taught as one object."
    )
    advice = (
        "Give each connected thing a number of its own (scipy.ndimage.label), or learn classes without prompts: "
        'data=semantic_maps task=semantic "data.classes={name: number}".'
    )
    yield Finding("classes_as_instances", Severity.WARNING, text, advice, tuple(torn))


def _is_torn(label: LabelFacts) -> bool:
    """Whether most values of a map have several pieces."""
    counts = np.array(list(label.pieces.values()))
    return bool((counts >= _MANY_PIECES).mean() > _MOSTLY)


def _map_classes(labelled: Labelled, inventory: Inventory) -> Iterator[Finding]:
    values = inventory.values
    if values is None:
        return
    ignored = values.ignored if isinstance(values.ignored, Sequence) else (values.ignored,)
    known = {value: name for name in values.names for value in _numbers(values.classes[name])}
    used = {value for _, label in labelled for value in label.values}
    unknown = sorted(used - known.keys() - set(ignored))
    if unknown and _look_like_instances(labelled):
        text = (
            f"Label maps hold {counted(len(used), 'value')}, each of them one connected thing, and other ones in each "
            "image: they number objects, not classes."
        )
        advice = "Take data=image_mask, where every value is one object."
        found = tuple(Found(_label_of(seen), f"{len(label.values)} values") for seen, label in labelled)
        yield Finding("instances_as_classes", Severity.ERROR, text, advice, found)
        return
    if unknown:
        found = tuple(
            Found(_label_of(seen), f"values {_listed(extra)}")
            for seen, label in labelled
            if (extra := sorted(set(label.values) & set(unknown)))
        )
        text = (
            f"{counted(len(found), 'label map')} with numbers that no class has: {_listed(unknown)}. They count as "
            "background."
        )
        advice = f"Name them in data.classes, or leave their pixels out: data.ignored={unknown[:8]}."
        yield Finding("unknown_values", Severity.WARNING, text, advice, found)
    yield from _absent({name: _numbers(values.classes[name]) for name in values.names}, labelled)


def _look_like_instances(labelled: Labelled) -> bool:
    """Many values, each of one piece, and how many there are differs between the images."""
    counts = [len(label.values) for _, label in labelled if label.values]
    pieces = [count for _, label in labelled for count in label.pieces.values()]
    return bool(counts) and max(counts) >= 3 and len(set(counts)) > 1 and float(np.mean(np.array(pieces) <= 1)) > 0.9


def _volume_classes(labelled: Labelled, inventory: Inventory) -> Iterator[Finding]:
    used = {value for _, label in labelled for value in label.values}
    if inventory.rule.classes is None:
        return
    classes = inventory.rule.values_by_class(sorted(used))
    known = {*inventory.rule.ignored_values, *(value for values in classes.values() for value in values)}
    if others := sorted(used - known):
        text = f"Label volumes hold {counted(len(others), 'value')} that no class has: {_listed(others)}."
        advice = "They are no objects. Name them in data.objects.classes if they should be."
        yield Finding("unused_values", Severity.NOTE, text, advice)
    yield from _absent(classes, labelled)


def _absent(classes: dict[str, tuple[int, ...]], labelled: Labelled) -> Iterator[Finding]:
    used = {value for _, label in labelled for value in label.values}
    used |= {0}  # the background is left out of the values, and may be a class
    if absent := [name for name, numbers in classes.items() if used.isdisjoint(numbers)]:
        found = tuple(Found(name, f"numbers {_listed(classes[name])}") for name in absent)
        text = f"{counted(len(absent), 'class is', 'classes are')} in no label: {', '.join(absent)}."
        advice = "Correct their numbers, or take them out of the classes: nothing teaches them."
        yield Finding("absent_class", Severity.WARNING, text, advice, found)
    parts = {seen.case.part for seen, _ in labelled if seen.case.part is not None}
    for part in sorted(parts):
        there = {value for seen, label in labelled if seen.case.part == part for value in label.values} | {0}
        missing = [n for n, numbers in classes.items() if n not in absent and there.isdisjoint(numbers)]
        if missing:
            text = f"In the {part} part there is no pixel of {', '.join(missing)}."
            advice = f"Nothing {'teaches' if part == 'train' else 'measures'} them: change the split."
            severity = Severity.WARNING if part == "train" else Severity.NOTE
            yield Finding(f"class_not_in_{part}", severity, text, advice)


def _label_of(seen: Seen) -> str:
    return seen.where if seen.case.label is None else str(seen.case.label)


def _numbers(values: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(values) if isinstance(values, Sequence) else (values,)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (f" ... {values[-1]}" if len(values) > 8 else "")
