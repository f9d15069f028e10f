"""`sam-ft evaluate`: measure a model by simulated clicks and boxes, or by the class of each pixel.

The settings are in configs/evaluate.yaml.
"""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

from sam_ft.checkpoints import load_model
from sam_ft.cli import find_configs
from sam_ft.data.collation import Prepare, PreparedSamples, whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation import thresholds
from sam_ft.evaluation.measuring import cases_to_show, measure, spread_evenly
from sam_ft.evaluation.page import evaluation_page
from sam_ft.evaluation.report import write_page
from sam_ft.evaluation.semantic import measure_classes
from sam_ft.evaluation.semantic_page import semantic_page
from sam_ft.lightning import program
from sam_ft.lightning.generator_thresholds import write_thresholds
from sam_ft.lightning.mistakes import whole_number
from sam_ft.models.sam.model import Sam
from sam_ft.types import Sample

_logger = logging.getLogger("sam_ft.evaluate")


def evaluate(config: DictConfig) -> None:
    """Load, measure by what the model is for, write, say what came out."""
    output, clicks = expect_usable(config)
    model = load_model(config.checkpoint, image_size=config.image_size)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    samples = part_of(config)
    fitted: thresholds.ThresholdFit | None = None
    if model.pixel_class_names:
        if config.thresholds:
            raise ValueError("Expected thresholds=0, since a model of semantic segmentation has no mask generator.")
        summary, written = evaluate_classes(model, samples, output, config=config), ["confusion.csv"]
    else:
        summary, written = evaluate_prompts(model, samples, output, clicks=clicks, config=config), ["records.csv"]
        whole = PreparedSamples(samples, Prepare(model.image_size))
        fitted = write_thresholds(model, whole, output / "thresholds.json", num_images=config.thresholds)
    for name, value in summary.items():
        _logger.info("  %-18s %s", name, f"{value:,.0f}" if name.startswith("num_") else f"{value:.4f}")
    if fitted is not None:
        _logger.info("%s", thresholds.describe(fitted))
        written.append("thresholds.json")
    _logger.info("Written to %s: summary.json, index.html, %s", output, ", ".join(written))


def evaluate_prompts(
    model: Sam, samples: SampleDataset, output: Path, *, clicks: tuple[int, ...], config: DictConfig
) -> dict[str, float]:
    """By simulated clicks and boxes."""
    shown = cases_to_show(samples, config.pictures)
    with progress(samples) as bar:
        measurement = measure(
            model,
            samples,
            clicks=clicks,
            shown=shown,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            on_batch=bar.update,
        )
    if foreign := sorted(set(measurement.by_class) - set(model.class_names)) if model.class_names else []:
        _logger.warning("The model does not know the classes %s, which count as not told.", ", ".join(foreign))
    measurement.write(output)
    page = evaluation_page(
        measurement,
        title=title_of(config),
        subtitle=f"{len(samples)} images, {int(measurement.summary['num_masks'])} masks",
        shown=shown,
        command=command(),
    )
    write_page(output / "index.html", page)
    return measurement.summary


def evaluate_classes(model: Sam, samples: SampleDataset, output: Path, *, config: DictConfig) -> dict[str, float]:
    """By the class of each pixel, without prompts."""
    shown = [samples[index] for index in spread_evenly(config.pictures, len(samples))]
    predictions: dict[str, Tensor] = {}

    def keep(sample: Sample, predicted: Tensor) -> None:
        if any(sample.name == each.name for each in shown):
            predictions[sample.name] = predicted

    batches = whole_batches(
        samples, image_size=model.image_size, batch_size=config.batch_size, num_workers=config.num_workers
    )
    with progress(samples) as bar:
        measurement = measure_classes(model, batches, on_batch=bar.update, on_prediction=keep)
    measurement.write(output)
    page = semantic_page(measurement, title=title_of(config), samples=shown, predictions=predictions, command=command())
    write_page(output / "index.html", page)
    return measurement.summary


def progress(samples: SampleDataset) -> Any:
    """A bar over the images."""
    return tqdm(total=len(samples), desc="measuring", unit="image", dynamic_ncols=True)


def title_of(config: DictConfig) -> str:
    """The heading of the page."""
    checkpoint = Path(config.checkpoint)
    return f"{checkpoint.absolute().parent.name}/{checkpoint.name} on {config.part}"


def command() -> str:
    """What the user typed."""
    return shlex.join(["sam-ft", "evaluate", *sys.argv[1:]])


def expect_usable(config: DictConfig) -> tuple[Path, tuple[int, ...]]:
    """The folder to write to and the clicks, after a look at the settings and before any work."""
    output = program.folder_to_write(config.output)
    if config.part not in program.PARTS:
        raise ValueError(f"Expected `part` to be one of {', '.join(program.PARTS)}, but got {config.part!r}.")
    for name, least in {"batch_size": 1, "num_workers": 0, "pictures": 0, "thresholds": 0}.items():
        whole_number(config, name, least=least)
    return output, program.clicks_of(config)


def part_of(config: DictConfig) -> SampleDataset:
    """The samples to measure on: the given data set, or the one that the checkpoint was trained with."""
    data = config.data if "data" in config else OmegaConf.create(program.config_of(config.checkpoint)["data"])
    return program.part_of(data, config.part)


def main() -> None:
    """The program."""
    program.run(evaluate, config_folder=find_configs(), config_name="evaluate")


if __name__ == "__main__":
    main()
