"""Which head a task needs beside SAM, and for which classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sam_ft.data.classes import class_names_of
from sam_ft.data.splits import DataSplits
from sam_ft.models.sam.heads import add_class_head, add_semantic_head
from sam_ft.models.sam.model import Sam

_logger = logging.getLogger(__name__)

Classes = str | Sequence[str] | None
"""`auto` for the classes of the training samples, their names, or None for those that the weights know."""


def give_head(model: Sam, data: DataSplits, *, task: str, classes: Classes) -> None:
    """Give the model the head for its task, in place, and take that of the other task away, which would go stale.

    Raises:
        ValueError: `classes` is something else, or None where a semantic head has to be made.
    """
    decoder, is_semantic = model.mask_decoder, task == "semantic"
    other = decoder.class_head if is_semantic else decoder.semantic_head
    if other is not None:
        setattr(decoder, "class_head" if is_semantic else "semantic_head", None)
        _logger.info("The head for %s is left out, since task=%s does not teach it.", ", ".join(other.names), task)
    known = model.pixel_class_names if is_semantic else model.class_names
    names = known if classes is None else chosen_classes(data, classes)
    if is_semantic and not names:
        raise ValueError("Expected `classes` to be auto or a list such as [road, car], since the weights know none.")
    if not names:
        return
    add = add_semantic_head if is_semantic else add_class_head
    add(model, names)
    now = model.pixel_class_names if is_semantic else model.class_names
    if known not in ((), now):
        _logger.info("A new head for %s takes the place of that for %s.", ", ".join(now), ", ".join(known))
    _logger.info("Classes: %s", ", ".join(now))


def chosen_classes(data: DataSplits, classes: str | Sequence[str]) -> tuple[str, ...]:
    """The names that a setting means: those of the training samples, or its own.

    Raises:
        ValueError: it is neither `auto` nor a list of names.
    """
    if classes == "auto":
        return class_names_of(data.train)
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise ValueError(f"Expected `classes` to be auto, null or a list such as [cell, nucleus], but got {classes!r}.")
    return tuple(map(str, classes))
