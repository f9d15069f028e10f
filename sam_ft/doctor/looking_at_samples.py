"""A look at a sample of a data set that holds its labels in another way than as label maps."""

from __future__ import annotations

from collections.abc import Callable

from sam_ft.data.pixels import PixelRule
from sam_ft.doctor.cases import Case
from sam_ft.doctor.findings import Found
from sam_ft.doctor.intensities import image_facts
from sam_ft.doctor.looking_at_files import look_at_image
from sam_ft.doctor.objects import facts_of_sample, painted
from sam_ft.doctor.seen import Problem, Seen, View
from sam_ft.types import Sample


def look_at_sample(case: Case, read: Callable[[], Sample], *, rule: PixelRule) -> Seen:
    """The facts of the image's file, where it is known, or else of the sample's image, and those of its masks."""
    problems: list[Problem] = []
    facts = None
    if case.image is not None:
        facts, _ = look_at_image(case.image, problems, rule=rule)
        if facts is None:
            return Seen(case, problems=tuple(problems))
    try:
        sample = read()
    except ValueError as err:
        where = case.name if case.image is None else str(case.image)
        problem = Problem("unreadable_label", Found(where, " ".join(str(err).split())))
        return Seen(case, image=facts, problems=(*problems, problem))
    picture = sample.image.numpy()
    facts = facts or image_facts(picture, picture=picture)
    view = View(sample.name, picture, painted(sample))
    return Seen(case, image=facts, label=facts_of_sample(sample), problems=tuple(problems), views=(view,))
