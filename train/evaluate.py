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
from sam_ft.evaluation.measuring import cases_to_show, measure
from sam_ft.evaluation.page import evaluation_page
from sam_ft.evaluation.report import write_page
from sam_ft.lightning import program

_logger = logging.getLogger("sam_ft.evaluate")


def evaluate(config: DictConfig) -> None:
    """Load, measure, write, say what came out."""
    model = load_model(config.checkpoint, image_size=config.image_size)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    samples = part_of(config)
    shown = cases_to_show(samples, config.pictures)
    with tqdm(total=len(samples), desc="measuring", unit="image", dynamic_ncols=True) as bar:
        measurement = measure(
            model,
            samples,
            clicks=tuple(config.clicks),
            shown=shown,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            on_batch=bar.update,
        )
    output = Path(config.output)
    measurement.write(output)
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
    _logger.info("Written to %s: summary.json, records.csv, index.html", output)


def part_of(config: DictConfig) -> SampleDataset:
    """The samples to measure on: the given data set, or the one that the checkpoint was trained with."""
    data = config.data if "data" in config else OmegaConf.create(program.config_of(config.checkpoint)["data"])
    samples = getattr(program.data_of(data), config.part, None) if config.part in ("train", "val", "test") else None
    if samples is None:
        raise ValueError(f"Expected `part` to be a part that the data set has, but got {config.part!r}.")
    return samples


def main() -> None:
    """The program."""
    program.run(evaluate, config_folder=find_configs(), config_name="evaluate")


if __name__ == "__main__":
    main()
