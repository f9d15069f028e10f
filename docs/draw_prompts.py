"""Draws docs/prompts.png: what each preset asks about the same object.

python docs/draw_prompts.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from sam_ft.checkpoints import load_model
from sam_ft.data.collation import Prepare, collate
from sam_ft.data.phantoms import Phantoms
from sam_ft.files import atomic_write
from sam_ft.pictures import draw_overlay, draw_prompts, to_png, view_around
from sam_ft.prompts import presets
from sam_ft.prompts.first_prompts import first_prompts
from sam_ft.prompts.presets import InteractivePreset
from sam_ft.prompts.simulation import Round, chosen_logits, simulate_rounds
from sam_ft.prompts.truth import Truth
from sam_ft.types import ABSENT, Batch, Prompts, Sample

NAMES = ("sam_paper", "sam2", "medsam", "micro_sam", "sam_med2d", "hq", "box_only", "points_only", "mask_refine")
IMAGE, OBJECT = 3, 0
NUM_FIRST = 24
NUM_ROUNDS = 5
IMAGE_SIZE = 256


def main() -> None:
    """One row for each preset: many first prompts, then the rounds of one simulation with the model's answers."""
    sample = chosen_sample()
    batch = collate([Prepare(IMAGE_SIZE)(sample)])
    truth = Truth(masks=batch.masks, valid=batch.valid, inside=torch.ones_like(batch.masks[:, :1]))
    model = load_model("vit_tiny_phantoms", image_size=IMAGE_SIZE).eval()
    figure = Figure(figsize=(2.1 * (NUM_ROUNDS + 1), 2.3 * len(NAMES)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(NAMES), NUM_ROUNDS + 1)
    with torch.inference_mode():
        embedding = model.encode_image(batch.images)
        for row, name in zip(panels, NAMES, strict=True):
            preset = getattr(presets, name)()
            draw_first_prompts(row[0], batch, truth, preset)
            row[0].set_ylabel(name, fontsize=11)
            rounds = simulate_rounds(
                lambda prompts, multimask_output: model.decode(embedding, prompts, multimask_output=multimask_output),
                truth,
                preset,
                generator=torch.Generator().manual_seed(3),
            )
            answers = list(rounds)[:NUM_ROUNDS]
            for axes in row[1 + len(answers) :]:
                axes.set_visible(False)
            for number, (axes, answer) in enumerate(zip(row[1:], answers, strict=False)):
                draw_round(axes, batch, answer)
                axes.set_title(f"round {number}" + " (mask alone)" * is_mask_only(answer), fontsize=8)
            for axes in row:
                x0, y0, x1, y1 = view_around(batch.masks[0])
                axes.set(xlim=(x0, x1), ylim=(y1, y0))
    panels[0, 0].set_title(f"{NUM_FIRST} first prompts", fontsize=8)
    with atomic_write(Path(__file__).with_name("prompts.png")) as path:
        path.write_bytes(to_png(figure, dpi=80))


def chosen_sample() -> Sample:
    """A phantom with one of its objects."""
    sample = Phantoms(IMAGE + 1, image_size=IMAGE_SIZE, seed=5, folded=0.5)[IMAGE]
    return Sample(
        image=sample.image, masks=sample.masks[OBJECT : OBJECT + 1], class_names=("object",), name=sample.name
    )


def draw_first_prompts(axes: Axes, batch: Batch, truth: Truth, preset: InteractivePreset) -> None:
    """Many draws of the first prompt on one picture."""
    draw_overlay(axes, batch.samples[0].image, truth=truth.masks[0, 0])
    generator = torch.Generator().manual_seed(0)
    for _ in range(NUM_FIRST):
        prompts, kinds = first_prompts(truth, preset.first, generator)
        show(axes, prompts)
        if kinds["mask"].any() and prompts.masks is not None:
            axes.contour(upsampled(prompts.masks[0, 0]), levels=[0], colors="white", linewidths=0.5)


def draw_round(axes: Axes, batch: Batch, answer: Round) -> None:
    """The prompts so far and what the model makes of them."""
    mask = upsampled(chosen_logits(answer)[0, 0]) > 0
    draw_overlay(axes, batch.samples[0].image, mask=mask, truth=batch.masks[0, 0])
    show(axes, answer.prompts)


def is_mask_only(answer: Round) -> bool:
    """Whether nothing but a mask was given."""
    return answer.prompts.points is None and answer.prompts.boxes is None


def show(axes: Axes, prompts: Prompts) -> None:
    """The clicks and the box of the one object."""
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    if prompts.points is not None and prompts.labels is not None:
        for (x, y), label in zip(prompts.points[0, 0].tolist(), prompts.labels[0, 0].tolist(), strict=True):
            if label != ABSENT:
                points.append((x, y))
                labels.append(label)
    box = None
    if prompts.boxes is not None and (prompts.has_box is None or bool(prompts.has_box[0, 0])):
        x0, y0, x1, y1 = prompts.boxes[0, 0].tolist()
        box = (x0, y0, x1, y1)
    draw_prompts(axes, points=points, labels=labels, box=box)


def upsampled(logits: Tensor) -> Tensor:
    """(h, w) -> (S, S)."""
    return F.interpolate(logits[None, None], size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")[0, 0]


if __name__ == "__main__":
    main()
