"""A look at an image file and its label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam_ft.data.image_files import image_size, stored_pixels
from sam_ft.data.pixels import PixelRule
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Found
from sam_ft.doctor.intensities import image_facts
from sam_ft.doctor.objects import facts_of_map
from sam_ft.doctor.seen import ImageFacts, Problem, Seen, UnusableError, View

_LOSSY = (".jpg", ".jpeg")
_MOST_COLOURS = 6


def look_at_files(case: Case, inventory: Inventory) -> Seen:
    """The facts of both files, and one picture where both can be read and are of one size."""
    problems: list[Problem] = []
    facts = picture = labels = label_facts = None
    if case.image is not None:
        facts, picture = look_at_image(case.image, problems, rule=inventory.pixels)
    if case.label is not None:
        try:
            labels = _read_labels(case.label)
        except UnusableError as err:
            problems.append(err.problem)
    if labels is not None and case.image is not None and case.label is not None:
        if _same_size(case.image, case.label, labels, problems):
            label_facts = facts_of_map(labels)
        else:
            labels = None
    views = () if picture is None or labels is None else (View(case.name, picture, labels.astype(np.int64)),)
    return Seen(case, image=facts, label=label_facts, problems=tuple(problems), views=views)


def look_at_image(
    path: Path, problems: list[Problem], *, rule: PixelRule
) -> tuple[ImageFacts | None, np.ndarray | None]:
    """The facts of an image file and the picture that a model sees; what keeps it from being read is added."""
    try:
        pixels = stored_pixels(path, rule)
        if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).any():
            problems.append(Problem("no_finite_value", Found(str(path))))
            return None, None
        picture = rule.picture(pixels, path=path)
    except ValueError as err:
        problems.append(Problem("unreadable_image", Found(str(path), _reason(err))))
        return None, None
    return image_facts(pixels, picture=picture), picture


def _read_labels(path: Path) -> np.ndarray:
    """(H, W) whole numbers of 0 and above.

    Raises:
        UnusableError: The file holds something else, or cannot be read.
    """
    try:
        labels = stored_pixels(path, as_indices=True)
    except ValueError as err:
        raise UnusableError("unreadable_label", path, _reason(err)) from err
    if labels.ndim != 2:
        raise UnusableError("colour_label", path, _colours(labels))
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        whole = np.isfinite(labels).all() and (labels == np.rint(labels)).all()
        if not whole:
            raise UnusableError(
                "fractional_label", path, f"{labels.dtype} from {np.nanmin(labels):g} to {np.nanmax(labels):g}"
            )
        labels = labels.astype(np.int64)
    if int(labels.min(initial=0)) < 0:
        raise UnusableError("negative_label", path, f"down to {labels.min()}")
    num_values = len(np.unique(labels))
    if path.suffix.lower() in _LOSSY and num_values > 2:
        raise UnusableError("lossy_label", path, f"{num_values} different values")
    return labels


def _colours(labels: np.ndarray) -> str:
    """What a label with several channels holds."""
    if labels.ndim != 3:
        return f"its shape is {labels.shape}"
    if labels.shape[2] in (3, 4) and (labels[..., :3] == labels[..., :1]).all():
        values = np.unique(labels[..., 0])
        return f"three equal channels with {len(values)} values"
    colours = np.unique(labels.reshape(-1, labels.shape[2]), axis=0)
    named = ", ".join(str(tuple(colour.tolist())) for colour in colours[:_MOST_COLOURS])
    return f"{len(colours)} colours: {named}{' ...' if len(colours) > _MOST_COLOURS else ''}"


def _same_size(image: Path, label: Path, labels: np.ndarray, problems: list[Problem]) -> bool:
    try:
        size = image_size(image)
    except ValueError:
        return True  # that the image cannot be read is said already
    if labels.shape == size:
        return True
    turned = ", as if turned by 90 degrees" if labels.shape == size[::-1] else ""
    detail = f"{_as_text(labels.shape)}, but its image {image.name} {_as_text(size)} (height x width){turned}"
    problems.append(Problem("size_mismatch", Found(str(label), detail)))
    return False


def _as_text(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _reason(err: ValueError) -> str:
    """What went wrong, without the part of the message that names the file again."""
    return " ".join(str(err).split()).rpartition("cannot be decoded: ")[2]
