"""`sam-ft evaluate`: measure a model by simulated clicks and boxes. The settings are in configs/evaluate.yaml."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from sam_ft.checkpoints import load_model
from sam_ft.cli import find_configs
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation import thresholds
from sam_ft.evaluation.measuring import cases_to_show, measure
from sam_ft.evaluation.page import evaluation_page
from sam_ft.evaluation.report import write_page
from sam_ft.lightning import program
from sam_ft.lightning.generator_thresholds import write_thresholds
from sam_ft.lightning.mistakes import whole_number

_logger = logging.getLogger("sam_ft.evaluate")


def evaluate(config: DictConfig) -> None:
    """Load, measure, write, say what came out."""
    output, clicks = expect_usable(config)
    model = load_model(config.checkpoint, image_size=config.image_size)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    samples = part_of(config)
    shown = cases_to_show(samples, config.pictures)
    with tqdm(total=len(samples), desc="measuring", unit="image", dynamic_ncols=True) as bar:
        measurement = measure(
            model,
            samples,
            clicks=clicks,
            shown=shown,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            on_batch=bar.update,
        )
    measurement.write(output)
    fitted = write_thresholds(model, samples, output / "thresholds.json", num_images=config.thresholds)
    page = evaluation_page(
        measurement,
        title=f"{Path(config.checkpoint).name} on {config.part}",
        subtitle=f"{len(samples)} images, {int(measurement.summary['num_masks'])} masks",
        shown=shown,
        command=shlex.join(["sam-ft", "evaluate", *sys.argv[1:]]),
    )
    write_page(output / "index.html", page)
    for name, value in measurement.summary.items():
        _logger.info("  %-11s %s", name, f"{value:.4f}" if name.startswith("miou") else f"{value:g}")
    if fitted is not None:
        _logger.info("%s", thresholds.describe(fitted))
    more = "" if fitted is None else ", thresholds.json"
    _logger.info("Written to %s: summary.json, records.csv, index.html%s", output, more)


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
