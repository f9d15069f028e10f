"""What every protocol is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from sam_ft.any_checkpoints import AnyModel
from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.splits import SampleDataset
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.unfinished.journaled import Shard
from sam_ft.models.sam.model import Sam
from sam_ft.models.unet import UNet


@dataclass(frozen=True)
class Request:
    """What is to be measured, and where the results go.

    Attributes:
        model: On the device that it runs on.
        samples: The images.
        output: The folder to write to; it is there.
        title: The heading of the page.
        command: What the user typed.
        batch_size: Images encoded at once.
        num_workers: Processes that read and prepare.
        pictures: Cases shown on the page.
        about: What is measured, beyond the protocol, as JSON has it: unfinished work on something else is not gone on
            with.
        shard: The share of the images that is measured now and written down for the others, without a page; None: all
            that is left, and then everything is written.
    """

    model: AnyModel
    samples: SampleDataset
    output: Path
    title: str
    command: str
    batch_size: int = 4
    num_workers: int = 0
    pictures: int = 6
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    shard: Shard | None = None

    @property
    def prompted(self) -> Sam:
        """The model, if it takes prompts.

        Raises:
            ValueError: It does not.
        """
        model = self.model
        if isinstance(model, UNet) or model.pixel_class_names:
            raise ValueError(
                "Expected a model that takes prompts for this protocol, but got one that was taught the class of each "
                f"pixel without any: protocol={' or protocol='.join(self._promptless)}."
            )
        return model

    @property
    def _promptless(self) -> list[str]:
        """The protocols that measure a model without prompts on these samples."""
        if isinstance(self.samples, BoundarySamples):
            return ["instances", "semantic"]
        return ["semantic", "volumes"] if isinstance(self.samples, VolumeSlices) else ["semantic"]

    def progress(self) -> tqdm:
        """A bar over the images."""
        return tqdm(total=len(self.samples), desc="measuring", unit="image", dynamic_ncols=True)


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        summary: The headline numbers, as they are printed.
        written: Names of the files in the output folder besides `summary.json` and `index.html`.
        intervals: From numbers of the summary to the ends of their 95 % intervals, for those that have one.
        images: Names of the images or volumes that hold an object; of a protocol without objects, of all.
        left_out: How much was not measured since it holds no object, such as `{"slices": 12}`.
    """

    summary: dict[str, float]
    written: tuple[str, ...]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    images: Sequence[str] = field(default=(), repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)


class EvaluationProtocol(Protocol):
    """One way to measure; it writes `summary.json`, `index.html` and its own files."""

    def __call__(self, request: Request) -> Outcome:
        """Measure and write.

        Raises:
            ValueError: The model or the data set does not fit the protocol.
        """
        ...
