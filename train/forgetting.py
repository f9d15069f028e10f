"""`sam-ft forgetting`: what a fine-tuning gained and lost. The settings are in configs/forgetting.yaml."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from sam_ft.checkpoints import load_model
from sam_ft.cli import find_configs
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.comparing.changes_shown import interval_of
from sam_ft.evaluation.comparing.forgetting import Answers, Comparison, answers, write_comparisons
from sam_ft.evaluation.comparing.forgetting_page import forgetting_page
from sam_ft.evaluation.showing.cases import ShownCase, cases_to_show, spread_over
from sam_ft.lightning import program
from sam_ft.lightning.mistakes import whole_number
from sam_ft.models.sam.model import Sam
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import signed

_logger = logging.getLogger("sam_ft.forgetting")

TITLES = {"domain": "Own data", "other": "Other data"}


def forgetting(config: DictConfig) -> None:
    """Measure both models on both data sets, write, say what came out."""
    output = program.folder_to_write(config.output)
    clicks = program.clicks_of(config)
    for name, least in {"batch_size": 1, "pictures": 0, "everything": 0, "points_per_side": 1}.items():
        whole_number(config, name, least=least)
    if config.images is not None:
        whole_number(config, "images", least=1)
    data = data_configs(config)
    sets = data_sets(data, config)
    shown = {name: cases_to_show(samples, config.pictures) for name, samples in sets.items()}
    after = prompted_model(config.after, image_size=config.image_size)
    before_path = starting_weights(config)
    before = prompted_model(before_path, image_size=after.image_size)
    found = {
        side: ask(model, sets, shown=shown, side=side, clicks=clicks, config=config)
        for side, model in (("before", before), ("after", after))
    }
    comparisons = [
        Comparison(name=name, title=TITLES[name], before=found["before"][name], after=found["after"][name])
        for name in sets
    ]
    parts = {"domain": config.part, "other": config.other_part}
    settings = {name: {"part": parts[name], **program.plain(data[name])} for name in sets}
    about = {"before": before_path, "after": str(config.after), "image_size": after.image_size, "data": settings}
    write_comparisons(output, comparisons, about=about)
    page = forgetting_page(
        comparisons,
        title="What the fine-tuning gained and lost",
        subtitle=f"From {Path(before_path).name} to {config.after}, at {after.image_size} px",
        shown=shown,
        command=shlex.join(["sam-ft", "forgetting", *sys.argv[1:]]),
        settings=OmegaConf.to_yaml(OmegaConf.create(settings)),
    )
    write_page(output / "index.html", page)
    for comparison in comparisons:
        _logger.info("%s", described(comparison))
    _logger.info("\nWritten to %s: index.html, forgetting.json, records_*.csv", output)


def prompted_model(path: str, *, image_size: int | None) -> Sam:
    """A model that answers prompts."""
    model = load_model(path, image_size=image_size)
    if model.pixel_class_names:
        raise ValueError(
            f"Expected a model that answers prompts, but {path} was taught the class of each pixel without any: "
            "sam-ft evaluate measures it."
        )
    return model


def data_configs(config: DictConfig) -> dict[str, DictConfig]:
    """The config of the own data set, if need be that of the training, and of the other one."""
    if "other" not in config:
        raise ValueError(
            "Expected a second data set, on which the model may have forgotten something, but got none: "
            "add data@other=NAME and its settings, such as data@other=image_mask other.root=photos"
        )
    own = config.data if "data" in config else OmegaConf.create(program.config_of(config.after)["data"])
    return {"domain": own, "other": config.other}


def data_sets(data: Mapping[str, DictConfig], config: DictConfig) -> dict[str, SampleDataset]:
    """What to measure on."""
    sets = {
        "domain": program.part_of(data["domain"], config.part),
        "other": program.part_of(data["other"], config.other_part, setting="other_part"),
    }
    if config.images is None:
        return sets
    return {name: spread_over(samples, config.images) for name, samples in sets.items()}


def starting_weights(config: DictConfig) -> str:
    """`before`; else the weights that the training of `after` started from."""
    if config.before is not None:
        return str(config.before)
    hint = "add before=..., such as before=sam_vit_b"
    try:
        weights = program.config_of(config.after).get("model", {}).get("weights")
    except ValueError as err:
        raise ValueError(f"Expected the config of a training with {config.after}, but found none: {hint}") from err
    if weights is None:
        raise ValueError(f"Expected a training that started from weights, but that of {config.after} did not: {hint}")
    return str(weights)


def ask(
    model: Sam,
    sets: Mapping[str, SampleDataset],
    *,
    shown: Mapping[str, list[ShownCase]],
    side: str,
    clicks: tuple[int, ...],
    config: DictConfig,
) -> dict[str, Answers]:
    """What one model answers on each data set."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    total = sum(len(samples) + min(config.everything, len(samples)) for samples in sets.values())
    interval = 0.5 if sys.stderr.isatty() else 15
    with tqdm(total=total, desc=side, unit="image", mininterval=interval, dynamic_ncols=True) as bar:
        found = {
            name: answers(
                model,
                samples,
                clicks=clicks,
                shown=shown[name],
                num_everything=config.everything,
                points_per_side=config.points_per_side,
                batch_size=config.batch_size,
                on_images=bar.update,
            )
            for name, samples in sets.items()
        }
    model.to("cpu")
    return found


def described(comparison: Comparison) -> str:
    """The changes of one data set, for the console."""
    summary = comparison.before.measurement.summary
    lines = [f"\n{comparison.title}: {summary['num_images']:g} images, {summary['num_masks']:g} masks"]
    for row in comparison.changes:
        values = f"{row.before:.3f} -> {row.after:.3f}  {signed(row.difference):>6}  {interval_of(row):<16}"
        lines.append(f"  {row.prompt:<30} {values}  {row.verdict}")
    return "\n".join(lines)


def main() -> None:
    """The program."""
    program.run(forgetting, config_folder=find_configs(), config_name="forgetting")


if __name__ == "__main__":
    main()
