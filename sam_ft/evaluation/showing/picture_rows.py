"""One object and what models answered for it, as a row of pictures."""

from __future__ import annotations

from collections.abc import Mapping

from sam_ft.evaluation.measuring import Measurement
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.pages.page import Picture, PictureRow
from sam_ft.pictures import overlay, to_png, view_around


def picture_row(
    case: ShownCase, measurements: Mapping[str, Measurement], *, prompt: str, num_clicks: int
) -> PictureRow:
    """One object: the first prompt and the truth, then what each model answered after the given prompts."""
    sample, index = case.sample, case.object_index
    truth = sample.masks[index]
    view = view_around(truth)
    answers = {
        name: measurement.answers[sample.name, index, prompt, num_clicks] for name, measurement in measurements.items()
    }
    asked = _in_words(prompt, num_clicks)
    title = f"{sample.name}, {sample.class_names[index]}, {asked}"
    pictures = [
        Picture(to_png(overlay(sample.image, view=view)), alt=f"The image of {title}", caption="image"),
        Picture(to_png(overlay(sample.image, truth=truth, view=view)), alt=f"The truth of {title}", caption="truth"),
    ]
    for name, (record, mask) in answers.items():
        drawn = overlay(
            sample.image, mask, truth=truth, points=record.points, labels=record.labels, box=record.box, view=view
        )
        pictures.append(Picture(to_png(drawn), alt=f"{name}: {title}", caption=name, value=f"IoU {record.iou:.3f}"))
    return PictureRow(title=title, pictures=pictures)


def _in_words(prompt: str, num_clicks: int) -> str:
    clicks = f"{num_clicks} click{'s' * (num_clicks != 1)}"
    if prompt == "click":
        return f"after {clicks}"
    return f"with a {prompt}" + (f" and {clicks}" if num_clicks else "")
