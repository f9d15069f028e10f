"""What every protocol is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from sam_ft.any_checkpoints import AnyModel
from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.collation import whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.evaluation.unfinished.journal import Entry, Journals
from sam_ft.evaluation.unfinished.shares import OpenShare, Shard, open_share
from sam_ft.models.sam.model import Sam
from sam_ft.models.unet import UNet
from sam_ft.types import Batch, Sample


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

    def journals(
        self,
        entry: type[Entry],
        *,
        settings: Mapping[str, object],
        name_of: Callable[[Entry], str | None],
        count: int | None = None,
        unit: str = "image",
    ) -> Journals[Entry]:
        """What is finished, while not everything is.

        Args:
            entry: What is kept of each unit; see `Journals`.
            settings: Of the protocol, its name included: all that an answer depends on.
            name_of: See `Journals`.
            count: Of the units; None: each sample is one.
            unit: What a unit is called.
        """
        purpose = {**self.about, "protocol": settings}
        num_units = len(self.samples) if count is None else count
        return Journals(self.output / "unfinished", purpose, entry, num_units, name_of, unit)

    @contextmanager
    def share(self, journals: Journals[Entry]) -> Iterator[tuple[OpenShare[Entry], Callable[[int], object]]]:
        """What is left of the images, and a bar that is told how many more are done; raises as `open_share`."""
        with open_share(journals, self.shard or Shard(), batch_size=self.batch_size) as share, self.progress() as bar:
            bar.update(len(share.done))
            yield share, bar.update

    def batches(self, indices: list[int]) -> Iterable[Batch]:
        """Some of the images, of which so many are encoded at once."""
        return whole_batches(
            torch.utils.data.Subset(self.samples, indices),  # type: ignore[arg-type]
            image_size=self.model.image_size,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )

    def spread_samples(self) -> list[Sample]:
        """The images to show, spread evenly over the data set."""
        return [self.samples[index] for index in spread_evenly(self.pictures, len(self.samples))]

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
        settings: Of the protocol, those that decide what the figures mean, by their values: figures with others may not
            be averaged. Not what a model has as its own, such as fitted thresholds, and no paths.
    """

    summary: dict[str, float]
    written: tuple[str, ...]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    images: Sequence[str] = field(default=(), repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


class EvaluationProtocol(Protocol):
    """One way to measure; it writes `summary.json`, `index.html` and its own files.

    Of a shard it writes nothing but its journal. The journals stay: the caller removes them once all is written.
    """

    def __call__(self, request: Request) -> Outcome:
        """Measure and write.

        Raises:
            ValueError: The model or the data set does not fit the protocol.
        """
        ...

    def journals(self, request: Request) -> Journals[Any]:
        """What is finished, while not everything is.

        Raises:
            ValueError: As `__call__`.
        """
        ...
