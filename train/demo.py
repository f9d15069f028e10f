"""`sam-ft demo`: fine-tune a small SAM on a real MRI volume, and show what it gained.

vit_tiny starts with the weights that come with the package: it knows from drawn phantoms what clicks and boxes mean,
and has never seen a real image. It is fine-tuned on the ICBM152 brain, the average of 152 T1 scans, with its grey and
white matter. A slab of coronal slices is held out; the model is measured on it before and after the fine-tuning.
"""

from __future__ import annotations

import argparse
import logging
import runpy
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_ft.charts.training import training_figure
from sam_ft.checkpoints import load_model
from sam_ft.cli import find_configs, find_folder
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.splits import DataSplits
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.measuring import Measurement, measure
from sam_ft.evaluation.records.summaries import write_summary
from sam_ft.evaluation.showing.cases import ShownCase, cases_to_show
from sam_ft.evaluation.showing.miou_tables import class_table, miou_table
from sam_ft.evaluation.showing.page import PROTOCOL, curves
from sam_ft.evaluation.showing.picture_rows import picture_row
from sam_ft.evaluation.volumes.answers import segment_with_boxes
from sam_ft.lightning import FitResult, fit, program
from sam_ft.lightning.mistakes import USER_ERRORS
from sam_ft.lightning.tasks import recipe_of
from sam_ft.pages.html import write_page
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, Section
from sam_ft.pages.tables import signed
from sam_ft.pages.versions import versions
from sam_ft.pictures import to_png

_logger = logging.getLogger("sam_ft.demo")

Summary = dict[str, float]

LEAST = {"miou@1": 0.60, "miou@box": 0.75}
"""What the demo promises to reach on the held-out slab."""

SHOWN_CASES = 5
COMMAND = "make demo"


def demo(output: Path, *overrides: str) -> bool:
    """Prepare, measure, fine-tune, measure again, write the page; True if the promise is kept."""
    start = time.monotonic()
    remove_training(output / "training")
    config = configure(
        "demo_brain",
        f"output={output / 'training'}",
        f"data.images={output / 'data' / 'image.nii.gz'}",
        f"data.labels={output / 'data' / 'label.nii.gz'}",
        *overrides,
    )
    runpy.run_path(str(find_folder("datasets") / "brain_icbm152.py"))["write"](output / "data")
    data = program.data_of(config.data)
    test = held_out(data)
    shown = cases_to_show(test, SHOWN_CASES)
    _logger.info("Measuring it on %d held-out slices of the brain ...", len(test))
    before = measure(load_model(config.model.weights, image_size=config.model.image_size), test, shown=shown)
    _logger.info("Fine-tuning it on the other slices ...")
    result = train(config, data)
    _logger.info("Measuring again, and segmenting the volume ...")
    model = load_model(result.weights)
    after = measure(model, test, shown=shown)
    after.write(output)
    segmentation = segment_with_boxes(model, all_slices(config), output / "segmentation.nii.gz")
    summaries = {"before": before.summary, "after": after.summary}
    write_summary(output / "summary.json", {**summaries, "seconds": round(time.monotonic() - start, 1)})
    page = demo_page({"before": before, "after": after}, shown=shown, result=result, config=config)
    write_page(output / "index.html", page)
    kept = promises(after.summary)
    _logger.info("%s", closing_words(summaries, kept, files=[output / "index.html", segmentation]))
    _logger.info("%.0f s in all.", time.monotonic() - start)
    return all(kept.values())


def remove_training(folder: Path) -> None:
    """Make room for the training of another demo.

    Raises:
        ValueError: The folder holds something else.
    """
    if folder.exists():
        if not (folder / "config.yaml").is_file() or not (folder / "last.ckpt").is_file():
            raise ValueError(f"Expected room for the training of the demo, but {folder} holds something else.")
        shutil.rmtree(folder)


def configure(experiment: str, *overrides: str) -> DictConfig:
    """The config of `sam-ft fit experiment=...`."""
    with initialize_config_dir(version_base="1.3", config_dir=str(find_configs())):
        return compose("fit", overrides=[f"experiment={experiment}", *overrides])


def held_out(data: DataSplits) -> VolumeSlices:
    """The slices that the demo measures on."""
    if not isinstance(data.test, VolumeSlices):
        raise ValueError("Expected the demo's data to hold out a slab of slices for testing.")
    return data.test


def all_slices(config: DictConfig) -> NiftiSlices:
    """Every slice of the demo's volume that holds an object, also those between the parts."""
    data = program.plain(config.data)
    reading = {name: data[name] for name in ("axis", "window", "volume_index")}
    built = {name: instantiate(config.data[name]) for name in ("objects", "cache")}
    slices = NiftiSlices(data["images"], data["labels"], **reading | built)
    return slices.cropped() if config.data.crop else slices


def train(config: DictConfig, data: DataSplits) -> FitResult:
    """The training of a config."""
    plain = program.plain(config)
    return fit(
        program.model_of(config),
        data,
        output=config.output,
        recipe=recipe_of(config),
        monitoring=instantiate(config.monitoring),
        trainer=plain["trainer"],
        config=plain,
    )


def promises(summary: Mapping[str, float]) -> dict[str, bool]:
    """What the demo promises, and whether it came true."""
    kept = {f"{name} is at least {least:.2f}": summary[name] >= least for name, least in LEAST.items()}
    return {"mIoU rises with every click": summary["miou@1"] < summary["miou@3"] < summary["miou@5"], **kept}


def closing_words(summaries: Mapping[str, Summary], kept: Mapping[str, bool], *, files: list[Path]) -> str:
    """The table and the verdict, for the console."""
    names = [name for name in summaries["after"] if name.startswith("miou@")]
    rows = [f"  {name:<10} {summaries['before'][name]:>7.3f} {summaries['after'][name]:>7.3f}" for name in names]
    verdicts = [f"  {'yes' if true else 'NO ':<4} {promise}" for promise, true in kept.items()]
    return "\n".join(
        [
            f"\nHeld-out slab: {summaries['after']['num_images']:g} slices, {summaries['after']['num_masks']:g} masks",
            f"  {'':<10} {'before':>7} {'after':>7}",
            *rows,
            *verdicts,
            "Look at " + " and ".join(map(str, files)) + ".",
        ]
    )


def demo_page(
    measurements: Mapping[str, Measurement], *, shown: list[ShownCase], result: FitResult, config: DictConfig
) -> Page:
    """What the demo shows: numbers, curves, pictures, and how to do it again."""
    summaries = {name: measurement.summary for name, measurement in measurements.items()}
    before, after = summaries["before"], summaries["after"]
    log = result.output / "metrics.csv"
    rows = [
        picture_row(case, measurements, prompt=prompt, num_clicks=num_clicks)
        for case in shown
        for prompt, num_clicks in (("click", 1), ("click", 5), ("box", 0))
    ]
    cards = [
        Card(label=name, value=f"{after[name]:.3f}", detail=f"{signed(after[name] - before[name])} by training")
        for name in after
        if name.startswith("miou@")
    ]
    training = Picture(
        to_png(training_figure(log)),
        alt="Loss and validation mIoU over the steps",
        png_dark=to_png(training_figure(log, dark=True)),
        wide=True,
    )
    sections = [
        Section(
            "Results",
            [miou_table(summaries), curves(summaries), class_table(measurements["after"].classes.summaries)],
            lead=PROTOCOL,
        ),
        Section(
            "Held-out slices",
            [Gallery(rows)],
            lead="Objects spread evenly over the slab, not chosen by result. Before fine-tuning the model knows drawn "
            "phantoms alone.",
        ),
        Section("Training", [training], lead=f"{result.num_steps} steps of fine-tuning; {what_is_trained(config)}."),
        Section(
            "Do it again",
            [Code(COMMAND), Code(OmegaConf.to_yaml(config, resolve=True), summary="The configuration"), Facts(facts())],
        ),
    ]
    return Page(
        title="Segment Anything, taught on one brain",
        subtitle=f"vit_tiny on coronal slices of the ICBM152 template: {after['num_images']:g} held-out slices, "
        f"{after['num_masks']:g} objects that it has never seen",
        cards=cards,
        sections=sections,
        footer="ICBM 152 non-linear symmetric 2009a, © Louis Collins, McConnell Brain Imaging Centre, McGill "
        "University; shipped by nilearn.",
    )


def what_is_trained(config: DictConfig) -> str:
    """The model, in words."""
    return f"{config.model.name} at {config.model.image_size} px, objects: pieces of grey matter, white matter and both"


def facts() -> list[tuple[str, str]]:
    """Versions, and where what was written lies."""
    return [
        *versions(),
        (
            "segmentation.nii.gz",
            "the whole volume, from boxes, on the source's grid: 1 grey matter, 2 white matter; only the held-out slab "
            "was new to the model",
        ),
        ("training/", "the training: best.ckpt, last.ckpt, model.safetensors, config.yaml, metrics.csv, pictures"),
        ("summary.json", "the numbers above"),
        ("records.csv", "one row for each mask with its prompts"),
    ]


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="sam-ft demo", description=__doc__)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="name=value",
        help="output=FOLDER (runs/demo unless given), and other settings than configs/experiment/demo_brain.yaml's",
    )
    output, overrides = _output_in(parser.parse_args().overrides)
    program.quiet_libraries()
    try:
        kept = demo(output, *overrides)
    except USER_ERRORS as err:
        program.exit_with(err, config_folder=find_configs())
    raise SystemExit(0 if kept else 1)


def _output_in(overrides: Sequence[str], *, default: str = "runs/demo") -> tuple[Path, list[str]]:
    """The folder that overrides name, and the others of them."""
    named = [override.removeprefix("output=") for override in overrides if override.startswith("output=")]
    return Path([default, *named][-1]), [override for override in overrides if not override.startswith("output=")]


if __name__ == "__main__":
    main()
