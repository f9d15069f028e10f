"""Simulated clicks and boxes; see `sam_ft.evaluation.asking.interactive`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sam_ft.download import checksum_of
from sam_ft.evaluation.asking.journaled import JournaledMeasurement, image_of
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import FirstClick, RecordedUser, SimulatedUser, User
from sam_ft.evaluation.measuring import Measurement
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.records.file import NAMES, RecordsFormat, read_records, records_path
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import cases_to_show
from sam_ft.evaluation.showing.extremes import ask_extremes_again
from sam_ft.evaluation.showing.page import MEASURED, evaluation_page
from sam_ft.evaluation.showing.picture_rows import picture_row
from sam_ft.evaluation.showing.summary_tables import summary_tables
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.evaluation.unfinished.shares import Shard
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.page import PictureRow
from sam_ft.pages.tables import write_tables

_logger = logging.getLogger("sam_ft.evaluate")

FIRST_CLICKS: dict[FirstClick, str] = {
    "centre": "at the object's centre",
    "random": "on a pixel of the object drawn by chance",
    "centre_of_mass": "at the object's centre of mass",
}


@dataclass(frozen=True)
class InteractiveProtocol:
    """mIoU against clicks and with a box.

    Attributes:
        clicks: See `Questions`, also for `box`, `box_clicks`, `mask`, `oracle` and `boundary`.
        box: As there.
        box_clicks: As there.
        mask: As there.
        oracle: As there.
        boundary: As there.
        first_click: See `SimulatedUser`, also for `seed`.
        seed: As there.
        every_round: As there.
        clicks_from: Records of another evaluation, or its folder, whose clicks are repeated; None: own clicks.
        records: In which format the records are written.

    Raises:
        ValueError: What `Questions` and `SimulatedUser` raise, an unknown format, or `clicks_from` that cannot be read.
    """

    clicks: Sequence[int] = (1, 3, 5)
    box: bool = True
    box_clicks: Sequence[int] = ()
    mask: bool = False
    oracle: bool = True
    boundary: bool = False
    first_click: FirstClick = "centre"
    seed: int = 0
    every_round: bool = True
    clicks_from: str | None = None
    records: RecordsFormat = "csv"

    def __post_init__(self) -> None:
        if self.records not in NAMES:
            raise ValueError(f"Expected `records` to be one of {', '.join(NAMES)}, but got {self.records!r}.")
        _ = self.questions, SimulatedUser(self.first_click, self.seed)
        if self.clicks_from is not None:
            records_path(self.clicks_from)

    @property
    def questions(self) -> Questions:
        """What each object is asked for with."""
        return Questions(
            self.clicks, self.box, self.box_clicks, self.mask, self.oracle, self.boundary, self.every_round
        )

    def user(self) -> User:
        """Who clicks."""
        if self.clicks_from is None:
            return SimulatedUser(self.first_click, self.seed)
        return RecordedUser(read_records(self.clicks_from), source=self.clicks_from)

    def in_words(self) -> str:
        """How objects are asked for."""
        if self.clicks_from is not None:
            clicks = f"The clicks are those that {self.clicks_from} has recorded"
        else:
            first = FIRST_CLICKS[self.first_click]
            clicks = f"The first click lies {first}, every later one at the centre of the largest error"
        return f"Each object is asked for on its own. {clicks}; {MEASURED}"

    def __call__(self, request: Request) -> Outcome:
        """Ask for every object of every image."""
        model, samples = request.prompted, request.samples
        user = self.user()
        work = JournaledMeasurement(
            model,
            samples,
            self.questions,
            user=user,
            journals=self.journals(request),
            batch_size=request.batch_size,
            num_workers=request.num_workers,
        )
        shown = [] if request.shard else cases_to_show(samples, request.pictures)
        with request.progress() as bar:
            answers = work.go_on(request.shard or Shard(), shown=shown, on_images=bar.update)
        if request.shard:
            return Outcome({}, written=())
        measurement = work.result(answers, shown=shown)
        if foreign := sorted(measurement.classes.records.keys() - set(model.class_names)) if model.class_names else []:
            _logger.warning("The model does not know the classes %s, which count as not told.", ", ".join(foreign))
        measurement.write(request.output, records=self.records)
        tables = write_tables(request.output, "summary", summary_tables(measurement))
        page = evaluation_page(
            measurement,
            title=request.title,
            subtitle=f"{len(samples)} images, {int(measurement.summary['num_masks'])} masks",
            shown=shown,
            command=request.command,
            extremes=self.extremes(request, measurement, user),
            lead=self.in_words(),
        )
        write_page(request.output / "index.html", page)
        images = {record.image for record in measurement.records}
        return Outcome(
            measurement.summary,
            written=(NAMES[self.records], *tables),
            intervals=ends_of(measurement.intervals),
            images=sorted(images),
            left_out={"images": len(samples) - len(images)},
            settings={"clicks": self.clicked},
        )

    @property
    def clicked(self) -> str:
        """Where the first click lies, or whose clicks these are, and up to how many, which NoC depends on."""
        first = f"random (seed {self.seed})" if self.first_click == "random" else self.first_click
        rule = first if self.clicks_from is None else "recorded"
        return f"{rule}, {max(self.clicks)} at most" if self.clicks else rule

    def journals(self, request: Request) -> Journals[list[MaskRecord]]:
        """What is finished, while not everything is; recorded clicks are told by what their file holds."""
        settings = {"name": "interactive", **asdict(self)}
        del settings["records"]
        if self.clicks_from is not None:
            settings["clicks_from"] = checksum_of(records_path(self.clicks_from))
        return request.journals(list[MaskRecord], settings=settings, name_of=image_of)

    def extremes(self, request: Request, measurement: Measurement, user: User) -> list[PictureRow]:
        """The worst, median and best answers as pictures, a third as many of each as there are other pictures."""
        count = -(-request.pictures // 3)
        if not count:
            return []
        chosen, again = ask_extremes_again(
            request.prompted, request.samples, measurement, questions=self.questions, user=user, count=count
        )
        rows = [
            (each.word, picture_row(each.case, {"prediction": again}, prompt=each.prompt, num_clicks=each.num_clicks))
            for each in chosen
        ]
        return [replace(row, title=f"{word}: {row.title}") for word, row in rows]
