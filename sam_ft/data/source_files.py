"""Whether a data set is still the one that it was: told by its files, or without files by all that it holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from sam_ft.data.splits import SampleDataset


def data_digest(samples: SampleDataset) -> str:
    """32 hexadecimal digits, of a data set that has changed others.

    Where the data set knows the files that its samples come from (`source_files`), those of the labels included, it is
    their names, sizes and times of change that count. Any other one, such as one that is drawn, is read as a whole:
    the names, images, masks, classes and ignored pixels of all samples count.
    """
    digest = hashlib.blake2b(f"{len(samples)}".encode(), digest_size=16)
    files: Collection[Path] | None = getattr(samples, "source_files", None)
    for part in _of_samples(samples) if files is None else _of_files(files):
        digest.update(part)
    return digest.hexdigest()


def source_files_of(several: Collection[SampleDataset]) -> tuple[Path, ...] | None:
    """The files of several data sets; None if one does not know its own."""
    known = [getattr(samples, "source_files", None) for samples in several]
    found = [files for files in known if files is not None]
    return tuple(path for files in found for path in files) if len(found) == len(known) else None


def _of_files(files: Collection[Path]) -> Iterator[bytes]:
    for path in dict.fromkeys(files):
        stat = os.stat(path)
        yield f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape")


def _of_samples(samples: SampleDataset) -> Iterator[bytes]:
    for index in range(len(samples)):
        sample = samples[index]
        shape, has_ignored = tuple(sample.masks.shape), sample.ignored is not None
        described = (sample.name, sample.class_names, sample.pixel_mm, sample.set_name, shape, has_ignored)
        yield f"{described}\n".encode(errors="surrogateescape")
        for tensor in (sample.image, sample.masks, sample.ignored):
            if tensor is not None:
                yield tensor.numpy().tobytes()
