"""The parts of a data set: too few to measure on, and patients or films that two of them share."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted

LEAST_IMAGES = 5
_TOO_FEW_TRAIN = 10
_LAST_NUMBER = re.compile(r"^(.*?)[_\-. ]?[a-z]{0,3}\d+$", re.IGNORECASE)

_OF_IMAGES = "folders, or data=manifest with a column `group`"
_OF_VOLUMES = 'data.group="(sub-[0-9]+)", or another expression that matches each once in its volumes\' paths'


def check_parts(inventory: Inventory, *, group: str | None) -> Iterator[Finding]:
    """Of all cases, seen or not.

    Args:
        inventory: of the data set.
        group: a regular expression on an image's path; what its first parentheses match must not be in two parts.

    Raises:
        ValueError: the expression makes no sense or matches no path.
    """
    labelled = [case for case in inventory.cases if case.label is not None or case.sample is not None]
    if not labelled:
        return
    times = Counter[str](case.part for case in labelled if case.part is not None)
    if times and not inventory.is_volumes:
        yield from _few_images(times)
    if inventory.is_volumes and times:
        yield from _few_volumes(labelled)
    by_group: dict[str, list[Case]] = defaultdict(list)
    for case in labelled:
        by_group[case.group].append(case)
    remedy = _OF_VOLUMES if inventory.is_volumes else _OF_IMAGES
    yield from _shared(by_group, remedy)
    if group is not None:
        yield from _shared(_groups_by(labelled, group), remedy)
    else:
        yield from _shared_names(labelled, remedy, noun="Volumes" if inventory.is_volumes else "Images")


def _few_images(times: Mapping[str, int]) -> Iterator[Finding]:
    for part in ("val", "test"):
        if 0 < times.get(part, 0) < LEAST_IMAGES:
            text = f"Only {counted(times[part], 'image')} in the {part} part: what is measured there depends on chance."
            advice = f"Hold more of them out: data.split.{part}=0.2, or move files where folders are the parts."
            yield Finding(f"few_{part}", Severity.WARNING, text, advice)
    if 0 < times.get("train", 0) < _TOO_FEW_TRAIN:
        text = f"Only {counted(times['train'], 'image')} to train on."
        advice = "Enough to try a training of the decoder: adapt=decoder, or adapt=lora."
        yield Finding("few_train", Severity.NOTE, text, advice)


def _few_volumes(labelled: Sequence[Case]) -> Iterator[Finding]:
    groups: dict[str, set[str]] = defaultdict(set)
    for case in labelled:
        groups[str(case.part)].add(case.group)
    few = [part for part in ("val", "test") if len(groups.get(part, ())) == 1]
    if few:
        text = f"One volume or patient each in {' and '.join(few)}: what is measured is how that one goes."
        advice = "More volumes, or cross-validation: data/split=folds."
        yield Finding("single_volume", Severity.NOTE, text, advice)


def _groups_by(cases: Sequence[Case], rule: str) -> dict[str, list[Case]]:
    try:
        expression = re.compile(rule)
    except re.error as err:
        raise ValueError(f"Expected `group` to be a regular expression, but got {rule!r}: {err}.") from err
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if match := expression.search(_path_of(case)):
            groups[match.group(1) if expression.groups else match.group()].append(case)
    if not groups:
        raise ValueError(
            f"Expected `group` to match images' paths, but {rule!r} matches none, such as {_path_of(cases[0])}."
        )
    return groups


def _path_of(case: Case) -> str:
    return case.name if case.path is None else case.path.as_posix()


def _shared(groups: Mapping[str, Sequence[Case]], remedy: str) -> Iterator[Finding]:
    if found := _in_two_parts(groups):
        text = f"{counted(len(found), 'group is', 'groups are')} in more than one part: what is measured is too good."
        advice = f"Put every group (patient, slide, film) into one part: {remedy}."
        yield Finding("group_leak", Severity.ERROR, text, advice, found)


def _shared_names(cases: Sequence[Case], remedy: str, *, noun: str) -> Iterator[Finding]:
    """Names that differ in their last number alone, such as `patient7_001`: perhaps of one patient or film."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if (match := _LAST_NUMBER.match(case.name)) and match[1]:
            groups[match[1]].append(case)
    named = {name: members for name, members in groups.items() if len(members) > 1}
    # One beginning of all names says nothing, nor do many of a single image each.
    if len(named) < 2 or sum(map(len, named.values())) < 0.8 * len(cases):
        return
    if found := _in_two_parts(named):
        text = (
            f"{noun} whose names begin alike are in more than one part ({counted(len(found), 'beginning')}): if these "
            "are patients, films or slides, what is measured is too good."
        )
        advice = (
            f"If so, put each into one part: {remedy}. "
            'The doctor checks it by group="(.*)_[0-9]+", or another expression.'
        )
        yield Finding("shared_names", Severity.WARNING, text, advice, found)


def _in_two_parts(groups: Mapping[str, Sequence[Case]]) -> tuple[Found, ...]:
    found = []
    for name, members in groups.items():
        times = Counter(case.part for case in members if case.part is not None)
        if len(times) > 1:
            found.append(Found(name, ", ".join(f"{count} in {part}" for part, count in sorted(times.items()))))
    return tuple(found)
