"""Whole volumes, segmented slice by slice; see `sam_ft.evaluation.volumes.scores`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from sam_ft.checks import expect_bool, expect_number, expect_whole_number
from sam_ft.data.nifti.writing import write_label_volume
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.evaluation.unfinished.shares import Shard, open_share
from sam_ft.evaluation.volumes.answers import BOX, VolumeAnswer, classified_volume, number_of, prompted_volume
from sam_ft.evaluation.volumes.measuring import MeasuredVolume, measure_volume, one_by_one
from sam_ft.evaluation.volumes.page import volume_page, volume_tables
from sam_ft.evaluation.volumes.scores import VolumeMeasurement
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import write_tables

_logger = logging.getLogger("sam_ft.evaluate")

PROMPTS = ("box", "click")


@dataclass(frozen=True)
class VolumesProtocol:
    """Dice, surface Dice, Hausdorff distance and volume of each class of each volume.

    A model that tells the class of each pixel is given no prompts and sees every slice of the part, those without an
    object and those with too small ones too; any other is prompted for the objects of the slices that hold one.

    Attributes:
        prompt: `box` or `click`.
        clicks: How many clicks each object of a slice gets, simulated from the truth; for `prompt=click` alone.
        tolerance_mm: Of the surface Dice.
        save_volumes: Whether to write the predicted label volumes, on the sources' own grids.

    Raises:
        ValueError: A setting is out of range.
    """

    prompt: str = "box"
    clicks: int = 1
    tolerance_mm: float = 1.0
    save_volumes: bool = False

    def __post_init__(self) -> None:
        if self.prompt not in PROMPTS:
            raise ValueError(f"Expected `protocol.prompt` to be one of {', '.join(PROMPTS)}, but got {self.prompt!r}.")
        expect_whole_number("protocol.clicks", self.clicks, least=1)
        if self.prompt == "box" and self.clicks != 1:
            raise ValueError(
                f"Expected protocol.prompt=click for protocol.clicks={self.clicks}, but got prompt=box, to which none "
                "are added."
            )
        expect_number("protocol.tolerance_mm", self.tolerance_mm, least=0)
        expect_bool("protocol.save_volumes", self.save_volumes)

    def __call__(self, request: Request) -> Outcome:
        """Segment and score one volume after the other."""
        slices = self._slices(request)
        journals = self.journals(request)
        with (
            open_share(journals, request.shard or Shard()) as share,
            replace(request, samples=slices).progress() as bar,
        ):
            volumes = list(one_by_one(slices))
            bar.update(sum(len(volumes[index]) for index in share.done))
            ask = self._ask(request, on_images=bar.update)
            for one in (volumes[index] for index in share.indices):
                answer = ask(one)
                if self.save_volumes:
                    _save(answer, one, folder=request.output / "volumes")
                share.add(measure_volume(one, answer, tolerance_mm=self.tolerance_mm))
        if request.shard:
            return Outcome({}, written=())
        measured = list(journals.expect_complete().values())
        num_slices_left_out, volumes_left_out = _left_out(slices)
        measurement = VolumeMeasurement(
            scores=[score for volume in measured for score in volume.scores],
            tolerance_mm=self.tolerance_mm,
            prompt=self._prompt_of(request),
            num_slices=len(slices),
            num_slices_left_out=num_slices_left_out,
            volumes_left_out=volumes_left_out,
        )
        measurement.write(request.output)
        page = volume_page(
            measurement, title=request.title, volumes=measured, pictures=request.pictures, command=request.command
        )
        write_page(request.output / "index.html", page)
        tables = write_tables(request.output, "summary", volume_tables(measurement))
        saved = ["volumes/"] if self.save_volumes else []
        return Outcome(
            measurement.summary,
            written=("volumes.csv", *tables, *saved),
            intervals=ends_of(measurement.intervals),
            images=[volume.name for volume in measured if any(score.truth_ml for score in volume.scores)],
            left_out={"slices": num_slices_left_out, "volumes": len(volumes_left_out)},
            settings={"prompt": self._prompt_of(request), "tolerance_mm": self.tolerance_mm},
        )

    def journals(self, request: Request) -> Journals[MeasuredVolume]:
        """What is finished, while not everything is: volume by volume."""
        count = len({entry.volume for entry in self._slices(request).entries})
        settings = {"name": "volumes", **asdict(self)}
        return request.journals(
            MeasuredVolume, settings=settings, name_of=lambda volume: volume.name, count=count, unit="volume"
        )

    def _slices(self, request: Request) -> VolumeSlices:
        """What is measured.

        Raises:
            ValueError: The samples are no slices of volumes, or the volumes that are to be written have unions alone.
        """
        slices = request.samples
        if not isinstance(slices, VolumeSlices):
            raise ValueError(
                "Expected slices of volumes for protocol=volumes, such as those of data=nifti, dicom, msd or nnunet, "
                "but got other images."
            )
        if self.save_volumes and not slices.objects.has_label_values():
            raise ValueError(f"Expected a class of one label value to write, but {slices.objects} has unions alone.")
        return slices.every_slice() if request.model.pixel_class_names else slices

    def _ask(self, request: Request, *, on_images: Callable[[int], object]) -> Callable[[VolumeSlices], VolumeAnswer]:
        """How the model is asked for a volume."""
        size, workers = request.batch_size, request.num_workers
        if request.model.pixel_class_names:
            ask = partial(classified_volume, request.model)
        else:
            ask = partial(prompted_volume, request.prompted, num_clicks=self.clicks if self.prompt == "click" else BOX)
        return partial(ask, batch_size=size, num_workers=workers, on_images=on_images)

    def _prompt_of(self, request: Request) -> str:
        if request.model.pixel_class_names:
            return "none"
        return "box" if self.prompt == "box" else f"{self.clicks} click{'s' * (self.clicks > 1)}"


def _left_out(slices: VolumeSlices) -> tuple[int, list[str]]:
    """How many slices of the part are not measured, as no object in them counts, and the volumes of which none is."""
    missing = set(slices.every_slice().entries) - set(slices.entries)
    volumes = {entry.volume for entry in missing} - {entry.volume for entry in slices.entries}
    return len(missing), [slices.volumes[number].name for number in sorted(volumes)]


def _save(answer: VolumeAnswer, slices: VolumeSlices, *, folder: Path) -> None:
    """Write one predicted label volume; unions of classes, which have no value of their own, are no part of it."""
    volume = slices.volumes[number_of(slices)]
    write_label_volume(folder / f"{volume.name.replace('/', '_')}.nii.gz", answer.labels, grid=volume.grid)
