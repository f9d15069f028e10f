"""What the `summary.json` of an evaluation is of, so that figures of other images are never set beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sam_ft.data.json_files import read_json_object
from sam_ft.files import write_json

KEY = "measured"
"""Where `summary.json` has it."""


@dataclass(frozen=True)
class Measured:
    """Which model was measured, how, and on what.

    Attributes:
        checkpoint: Of the model.
        protocol: Its name, such as `interactive`.
        settings: Those that decide what its figures mean: of the protocol, and the model's `image_size`.
        part: Of the data set.
        num_images: How many images that hold an object, or volumes after `protocol=volumes`; after
            `protocol=semantic` all images.
        images: `names_digest` of their names.
        num_samples: How many images or slices the part has, those without an object and those left out too.
        num_objects: How many true objects they hold; None where it was not counted.
        left_out: How much of the part was not measured, such as `{"slices": 12}`: what holds no object.
        data: The settings of the data set.
        version: Of sam-ft.
    """

    checkpoint: str
    protocol: str
    settings: Mapping[str, Any]
    part: str
    num_images: int
    images: str
    num_samples: int
    num_objects: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def unit(self) -> str:
        """What `num_images` counts."""
        return "volumes" if self.protocol == "volumes" else "images"


def names_digest(names: Iterable[str]) -> str:
    """16 hexadecimal digits of some names, whatever their order is."""
    return hashlib.blake2b("\n".join(sorted(names)).encode(), digest_size=8).hexdigest()


def add_measured(path: str | Path, measured: Measured) -> None:
    """Write it into a `summary.json` that is there.

    Raises:
        ValueError: There is no such file, or it cannot be written to.
    """
    write_json(path, {**read_json_object(Path(path)), KEY: asdict(measured)})


def measured_in(summary: Mapping[str, Any], *, path: Path) -> Measured:
    """What a summary says of it.

    Args:
        summary: The content of a `summary.json`.
        path: Where it was read, for messages.

    Raises:
        ValueError: It says nothing, as those of older versions do, or something else.
    """
    try:
        measured = Measured(**summary[KEY])
    except (KeyError, TypeError) as err:
        raise ValueError(
            f"Expected {path} to say what was measured, as the summaries of sam-ft evaluate do, but it does not: "
            "measure again."
        ) from err
    if not measured.num_images:
        raise ValueError(f"Expected {path} to say which images were measured, but it names none.")
    return measured
