"""Whether a data set is still the one that it was: told by its files, without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from sam_ft.data.splits import SampleDataset, without_image
from sam_ft.masks.areas import mask_areas

_MOST_SAMPLES = 100


def data_digest(samples: SampleDataset) -> str:
    """32 hexadecimal digits, of a data set that has changed others.

    Where the data set knows the files that its samples come from (`source_files`), those of the labels included, it is
    their names, sizes and times of change that count. Of any other one, such as one that is drawn, it is the names and
    the areas of the objects, in at most 100 samples spread evenly.
    """
    digest = hashlib.blake2b(f"{len(samples)}".encode(), digest_size=16)
    files: Collection[Path] | None = getattr(samples, "source_files", None)
    for line in _of_samples(samples) if files is None else _of_files(files):
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def source_files_of(several: Collection[SampleDataset]) -> tuple[Path, ...] | None:
    """The files of several data sets; None if one does not know its own."""
    known = [getattr(samples, "source_files", None) for samples in several]
    found = [files for files in known if files is not None]
    return tuple(path for files in found for path in files) if len(found) == len(known) else None


def _of_files(files: Collection[Path]) -> Iterator[str]:
    for path in dict.fromkeys(files):
        stat = os.stat(path)
        yield f"{path} {stat.st_size} {stat.st_mtime_ns}"


def _of_samples(samples: SampleDataset) -> Iterator[str]:
    count = min(len(samples), _MOST_SAMPLES)
    for turn in range(count):
        sample = without_image(samples, turn * len(samples) // count)
        yield f"{sample.name} {sample.class_names} {mask_areas(sample.masks).tolist()}"
