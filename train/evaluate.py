"""`sam-ft evaluate`: measure a model by a protocol, such as simulated clicks and boxes.

The settings are in configs/evaluate.yaml.
"""

from __future__ import annotations

import logging
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from sam_ft.any_checkpoints import AnyModel, load_any_model
from sam_ft.cli import find_configs
from sam_ft.data.collation import Prepare, PreparedSamples
from sam_ft.data.source_files import data_digest
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.comparing.measured import Measured, add_measured, names_digest
from sam_ft.evaluation.protocols.automatic import AutomaticProtocol
from sam_ft.evaluation.protocols.interactive import InteractiveProtocol
from sam_ft.evaluation.protocols.request import EvaluationProtocol, Outcome, Request
from sam_ft.evaluation.protocols.semantic import SemanticProtocol
from sam_ft.evaluation.unfinished.processes import end_with_parent, measure_in_processes
from sam_ft.evaluation.unfinished.shares import Shard
from sam_ft.inference import thresholds
from sam_ft.lightning import program
from sam_ft.lightning.generator_thresholds import write_thresholds
from sam_ft.lightning.mistakes import whole_number
from sam_ft.models.fingerprint import weights_fingerprint
from sam_ft.models.sam.model import Sam

_logger = logging.getLogger("sam_ft.evaluate")


def evaluate(config: DictConfig) -> None:
    """Load, measure by the protocol or by what the model is for, write, say what came out."""
    end_with_parent()
    output, clicks = expect_usable(config)
    model = load_any_model(config.checkpoint, image_size=config.image_size)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    protocol = protocol_of(config, model, clicks=clicks)
    samples = part_of(config)
    request = Request(
        model=model,
        samples=samples,
        output=output,
        title=title_of(config),
        command=shlex.join(["sam-ft", "evaluate", *sys.argv[1:]]),
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        pictures=config.pictures,
        about=about(config, model, samples),
        shard=shard_of(config),
    )
    journals = protocol.journals(request)
    journals.warn_of_others()
    if done := journals.num_finished():
        _logger.info("%d of %d %ss were measured before and are taken over.", done, journals.count, journals.unit)
    say_thresholds(config, protocol)
    try:
        measure(config, protocol, request)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("What is measured is kept: the same command goes on with it.") from None


def measure(config: DictConfig, protocol: EvaluationProtocol, request: Request) -> None:
    """Measure a share or everything, and write."""
    model, samples, output = request.model, request.samples, request.output
    if not request.shard and config.processes > 1:
        share_work(config, protocol, request)
    outcome = protocol(request)
    if request.shard:
        _logger.info(
            "Share %s is measured. After all shares the same command without `shard` writes everything to %s.",
            config.shard,
            output,
        )
        return
    add_measured(output / "summary.json", measured(config, protocol, request, outcome=outcome))
    written = ["summary.json", "index.html", *outcome.written]
    fitted = None
    if isinstance(model, Sam):
        whole = PreparedSamples(samples, Prepare(model.image_size))
        fitted = write_thresholds(model, whole, output / "thresholds.json", num_images=config.thresholds)
    for name, value in outcome.summary.items():
        _logger.info("  %-18s %s", name, described(value, name=name, interval=outcome.intervals.get(name)))
    if fitted is not None:
        _logger.info("%s", thresholds.describe(fitted))
        written.append("thresholds.json")
    protocol.journals(request).remove()
    _logger.info("Written to %s: %s", output, ", ".join(written))


def share_work(config: DictConfig, protocol: EvaluationProtocol, request: Request) -> None:
    """Let several processes do all of the measuring; the results lie in the output.

    They are told its name, which another run of the same command line need not come to (`output=runs/${now:%H%M}`).

    Raises:
        ValueError: A process failed, or something is missing at the end.
    """
    journals = protocol.journals(request)
    arguments = [*sys.argv[1:], "output='{}'".format(str(request.output).replace("'", r"\'"))]
    with tqdm(total=journals.count, desc="measuring", unit=journals.unit, dynamic_ncols=True) as bar:
        measure_in_processes(arguments, config.processes, journals=journals, on_units=bar.update)


def about(config: DictConfig, model: AnyModel, samples: SampleDataset) -> dict[str, object]:
    """What an unfinished measurement must have been of for this one to go on with it."""
    return {
        "version": version("sam-ft"),
        "weights": weights_fingerprint(model),
        "image_size": model.image_size,
        "data": OmegaConf.to_container(data_of(config), resolve=True),
        "part": config.part,
        "num_images": len(samples),
        "samples": data_digest(samples),
        "batch_size": config.batch_size,
    }


def say_thresholds(config: DictConfig, protocol: EvaluationProtocol) -> None:
    """Name the thresholds that a training has left beside its checkpoint, if others are to be used."""
    beside = Path(config.checkpoint).parent / "thresholds.json"
    if isinstance(protocol, AutomaticProtocol) and protocol.thresholds_file is None and beside.is_file():
        _logger.info("Thresholds that were fitted to this model: protocol.thresholds_file=%s", beside)


def measured(config: DictConfig, protocol: EvaluationProtocol, request: Request, *, outcome: Outcome) -> Measured:
    """What the figures are of, for those who compare them."""
    summary = outcome.summary
    num_objects = summary.get("num_objects", summary.get("num_masks"))
    return Measured(
        checkpoint=str(config.checkpoint),
        protocol=type(protocol).__name__.removesuffix("Protocol").lower(),
        settings={**outcome.settings, "image_size": request.model.image_size},
        part=config.part,
        num_images=len(outcome.images),
        images=names_digest(outcome.images),
        num_samples=int(summary.get("num_slices", len(request.samples))) + outcome.left_out.get("slices", 0),
        num_objects=None if num_objects is None else int(num_objects),
        left_out=outcome.left_out,
        data=request.about["data"],
        version=request.about["version"],
    )


def shard_of(config: DictConfig) -> Shard | None:
    """The share of this process, or None for everything.

    Raises:
        ValueError: There is no such share.
    """
    return None if config.shard is None else Shard.parsed(str(config.shard))


def protocol_of(config: DictConfig, model: AnyModel, *, clicks: tuple[int, ...]) -> EvaluationProtocol:
    """How to measure: as asked for, else by the class of each pixel or by clicks, as the model was trained.

    Raises:
        ValueError: Thresholds are to be fitted to a model that has no mask generator.
    """
    if model.pixel_class_names and config.thresholds:
        raise ValueError("Expected thresholds=0, since a model of semantic segmentation has no mask generator.")
    if "protocol" in config:
        return instantiate(config.protocol, _convert_="all")
    if not model.pixel_class_names:
        return InteractiveProtocol(clicks)
    if clicks_are_given():
        raise ValueError("Expected no `clicks` for this model, which was taught the class of each pixel without any.")
    return SemanticProtocol()


def clicks_are_given() -> bool:
    """Whether the command line has `clicks=...`."""
    return any(override.startswith("clicks=") for override in HydraConfig.get().overrides.task)


def refuse_unread_clicks(config: DictConfig) -> None:
    """Refuse `clicks=...` beside a protocol that does not take its clicks from there.

    Raises:
        ValueError: It is given; what the protocol has instead is named.
    """
    own = OmegaConf.to_container(config.protocol, resolve=False) if "protocol" in config else None
    if not isinstance(own, dict) or own.get("clicks") == "${clicks}" or not clicks_are_given():
        return
    if "clicks" not in own:
        raise ValueError("Expected no `clicks` for this protocol, which asks with none: protocol=interactive does.")
    prompt = " with protocol.prompt=click" if "prompt" in own else ""
    raise ValueError(f"Expected no `clicks` for this protocol, which has its own: give protocol.clicks=...{prompt}.")


def described(value: float, *, name: str, interval: tuple[float, float] | None) -> str:
    """A number of the summary for the console, with its interval; counts as whole numbers."""
    if name.startswith(("num_", "nof@")):
        return f"{value:,.0f}"
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def title_of(config: DictConfig) -> str:
    """The heading of the page."""
    checkpoint = Path(config.checkpoint)
    return f"{checkpoint.absolute().parent.name}/{checkpoint.name} on {config.part}"


def expect_usable(config: DictConfig) -> tuple[Path, tuple[int, ...]]:
    """The folder to write to and the clicks, after a look at the settings and before any work."""
    output = program.folder_to_write(config.output)
    if config.part not in program.PARTS:
        raise ValueError(f"Expected `part` to be one of {', '.join(program.PARTS)}, but got {config.part!r}.")
    refuse_unread_clicks(config)
    for name, least in {"batch_size": 1, "num_workers": 0, "processes": 1, "pictures": 0, "thresholds": 0}.items():
        whole_number(config, name, least=least)
    return output, program.clicks_of(config)


def part_of(config: DictConfig) -> SampleDataset:
    """The samples to measure on."""
    return program.part_of(data_of(config), config.part)


def data_of(config: DictConfig) -> DictConfig:
    """The settings of the given data set, or of the one that the checkpoint was trained with."""
    return config.data if "data" in config else OmegaConf.create(program.config_of(config.checkpoint)["data"])


def main() -> None:
    """The program."""
    program.run(evaluate, config_folder=find_configs(), config_name="evaluate")


if __name__ == "__main__":
    main()
