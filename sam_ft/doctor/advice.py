"""What to set for a data set: a few settings of `sam-ft fit`, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sam_ft.doctor.cases import Meaning
from sam_ft.doctor.checks.grids import best_axis
from sam_ft.doctor.examination import Examination
from sam_ft.doctor.findings import Severity
from sam_ft.doctor.sizing import SPECK_PX, object_sizes, suited_image_size, suited_windows

Value = bool | int | float | str | tuple[float, ...]


@dataclass(frozen=True)
class Setting:
    """One override and why it is suggested."""

    key: str
    value: Value
    reason: str

    @property
    def override(self) -> str:
        """As it is typed."""
        return f"{self.key}={as_yaml(self.value)}"


def as_yaml(value: object) -> str:
    """A value in one line of YAML, which the command line takes as well."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return f"[{','.join(map(as_yaml, value))}]"
        case None:
            return "null"
        case _:
            return str(value)


@dataclass(frozen=True)
class Known:
    """What a training would be told without advice.

    Attributes:
        settings: the dotted names of all settings of the program.
        given: those that the user has set, which are left as they are.
        image_size: side of the model's frame.
        may_resize: whether another frame suits the model as well: not one that was pre-trained at a size.
    """

    settings: Collection[str]
    given: Collection[str]
    image_size: int
    may_resize: bool


def advice_for(examination: Examination, known: Known) -> list[Setting]:
    """Settings that suit what was seen, none that the user has given and none that the program does not have."""
    return [each for each in _every(examination, known) if each.key in known.settings and each.key not in known.given]


def _every(examination: Examination, known: Known) -> Iterator[Setting]:
    inventory = examination.inventory
    warned = {finding.code for finding in examination.findings if finding.severity <= Severity.WARNING}
    if "dim" in warned:
        yield Setting("data.stretch", True, "many images are dim")
    if "anisotropic" in warned:
        grids = [each.grid for each in examination.seen if each.grid is not None]
        coarsest = max(grids, key=lambda grid: grid.in_plane)
        yield Setting("data.axis", best_axis(coarsest), "the plane with the finest pixels")
    smallest = inventory.least_area_px
    if "specks" in warned:
        smallest = SPECK_PX + 1
        yield Setting(inventory.least_area_key, smallest, "smaller objects are probably slips of the pen")
    if inventory.meaning == Meaning.CLASSES:
        return
    sizes = object_sizes(examination.seen, smallest_px=smallest)
    image_size = known.image_size
    suited = suited_image_size(sizes)
    if suited is not None and known.may_resize and "model.image_size" not in known.given:
        image_size = suited
    if image_size != known.image_size:
        side = sizes.median_side * image_size
        yield Setting("model.image_size", image_size, f"the median object has a side of {side:.0f} pixels there")
    if windows := suited_windows(sizes, image_size=image_size):
        reason = f"objects are small: a side of {sizes.median_side * image_size:.0f} pixels at {image_size}"
        yield Setting("loader.windows", windows, reason)
