"""The ICBM152 brain: the average of 152 T1 scans with its grey and white matter, as NIfTI volumes.

Source: ICBM 152 non-linear symmetric 2009a template (v1.0) at 1 mm, as the Python package nilearn ships it in
`nilearn/datasets/data` (extra `demo`), so that nothing is downloaded.
    V. Fonov, A. Evans, K. Botteron, C. Almli, R. McKinstry, D. Collins, "Unbiased average age-appropriate atlases for
    pediatric studies", NeuroImage 54, 2011; https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009
Licence of the template, Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological
Institute, McGill University: "Permission to use, copy, modify, and distribute this software and its documentation for
any purpose and without fee is hereby granted, provided that the above copyright notice appear in all copies."

Writes two files of 197 x 233 x 189 voxels of 1 mm, on the source's grid:

    OUTPUT/image.nii.gz   T1, as shipped
    OUTPUT/label.nii.gz   0 elsewhere, 1 grey matter, 2 white matter: where that tissue's probability is above 0.5;
                          should both be, the more probable one, and grey matter where they are equal

    sam-ft prepare brain_icbm152 --output data/brain
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import nibabel
import numpy as np

from sam_ft.data.nifti.reading import open_volume, read_voxels
from sam_ft.data.nifti.writing import save_volume
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.data.preparing.target import Target
from sam_ft.files import atomic_write
from sam_ft.optional import require

SHA256 = {
    "t1": "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6",
    "gm": "97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed",
    "wm": "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db",
}
"""Of the files that nilearn 0.14 ships, so that figures measured on them stay comparable."""

FILE_NAME = "mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
GREY_MATTER = 1
WHITE_MATTER = 2


def source_path(kind: str) -> Path:
    """The file of "t1", "gm" or "wm" inside the installed nilearn.

    Raises:
        ValueError: nilearn is not installed, or is a version that ships no such file or another one.
    """
    package = Path(str(require("nilearn", extra="demo").__file__)).parent
    path = package / "datasets" / "data" / FILE_NAME.format(kind=kind)
    if not path.is_file():
        raise ValueError(f"Expected nilearn to ship {path}, but it does not: pip install --upgrade nilearn.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[kind]:
        raise ValueError(f"Expected {path} to have the SHA-256 {SHA256[kind]}, but it has another.")
    return path


def tissue_labels(grey: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Two probability maps, both uint8 with 255 for certainty -> 0 elsewhere, 1 grey matter, 2 white matter."""
    labels = np.zeros(grey.shape, dtype=np.uint8)
    labels[(grey > 127.5) & (grey >= white)] = GREY_MATTER
    labels[(white > 127.5) & (white > grey)] = WHITE_MATTER
    return labels


def write(output: str | Path) -> tuple[Path, Path]:
    """Writes image and label, each beside its place and then renamed.

    Returns:
        The paths of image and label.
    """
    folder = Path(output)
    t1 = source_path("t1")
    grey, white = (read_voxels(open_volume(path), path=path) for path in (source_path("gm"), source_path("wm")))
    with atomic_write(folder / "image.nii.gz") as partial:
        nibabel.save(nibabel.load(t1), partial)
    return folder / "image.nii.gz", save_volume(folder / "label.nii.gz", tissue_labels(grey, white), like=t1)


def convert(material: Material, target: Target) -> None:
    """Writes image and label.

    Raises:
        ValueError: A limit, which one volume cannot have.
    """
    if target.limit is not None:
        raise ValueError("Expected no --limit for brain_icbm152, which is one volume.")
    write(target.folder)
    target.count("train", volumes=1)


def main(arguments: list[str] | None = None) -> int:
    """Runs the recipe; 0, or 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(description="Write the ICBM152 brain with grey and white matter as NIfTI.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for image and label")
    try:
        paths = write(parser.parse_args(arguments).output)
    except ValueError as err:
        print(f"Error: {err}", file=sys.stderr)
        return 2
    for path in paths:
        print(path)
    return 0


RECIPES = (
    Recipe(
        name="brain_icbm152",
        title="T1 MR of the average brain with grey and white matter (ICBM152)",
        homepage="https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009",
        licence="any purpose, with its copyright notice",
        citation="V. Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54, 2011",
        files=(),
        unpacked_mb=15,
        splits="One volume; data=brain holds out slabs of its coronal slices.",
        convert=convert,
        fit="data=brain data.images={root}/image.nii.gz data.labels={root}/label.nii.gz",
    ),
)


if __name__ == "__main__":
    sys.exit(main())
