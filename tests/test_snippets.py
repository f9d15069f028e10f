"""The examples that people bring from segment_anything run after a change of their import lines."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft import build_model, save_meta

pytestmark = pytest.mark.data

ON_A_SMALL_MACHINE = {'"cuda"': '"cpu"', '"vit_h"': '"vit_b"', "points_per_side=32": "points_per_side=4"}
IMPORTS = {
    "from segment_anything import": "from sam_ft import sam_model_registry,",
    "from medsam import": "from sam_ft import load_medical_image,",
}


@pytest.fixture(scope="module")
def snippets() -> Path:
    data = os.environ.get("SAM_FT_DATA")
    folder = Path(data).resolve().parent / "snippets" if data else None
    if folder is None or not folder.is_dir():
        pytest.skip("the examples lie beside the folder that SAM_FT_DATA names, which is not here")
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name, for a small machine."""
    return laid_out(tmp_path_factory.mktemp("desk"), "vit_b")


def laid_out(folder: Path, size: str) -> Path:
    """Random weights, a picture and a volume."""
    torch.manual_seed(0)
    save_meta(build_model(size), folder / "sam_vit_h_4b8939.pth")
    for name in ("sam_vit_h.pth", "medsam_checkpoint.pth"):
        (folder / name).symlink_to("sam_vit_h_4b8939.pth")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(folder / "image.jpg")
    volume = random.integers(-1000, 1000, (40, 50, 2)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "ct_scan.nii")
    return folder


def run(
    names: list[str], snippets: Path, *, changes: dict[str, str] = ON_A_SMALL_MACHINE, **given: Any
) -> dict[str, Any]:
    """What the examples leave behind, one after the other in one namespace."""
    mpl.use("Agg")
    space: dict[str, Any] = {"np": np, **given}
    for name in names:
        [path] = snippets.glob(f"{name}_*.py")
        code = path.read_text(encoding="utf-8")
        for theirs, ours in (IMPORTS | changes).items():
            code = code.replace(theirs, ours)
        assert not re.search(r"segment_anything import|medsam import", code)
        exec(compile(code, path.name, "exec"), space)  # the test's whole purpose
    return space


@pytest.fixture
def at_the_desk(monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    monkeypatch.chdir(desk)


@pytest.mark.usefixtures("at_the_desk")
def test_predictor_prompts_and_automatic_masks(snippets: Path) -> None:
    left = run(["01", "02", "03"], snippets)
    assert left["best_mask"].shape == (480, 640) and left["best_mask"].dtype == bool
    assert left["logits"].shape == (1, 256, 256)
    assert left["mask_generator"].filters.min_mask_region_area == 100
    assert isinstance(left["masks"], list)


@pytest.mark.usefixtures("at_the_desk")
def test_the_annotator(snippets: Path) -> None:
    annotator = run(["07"], snippets)["SAMAnnotator"]("sam_vit_h.pth")
    annotator.set_image(np.asarray(Image.open("image.jpg")))
    assert annotator.predict() is None
    first, second = annotator.add_point(500, 375), annotator.add_point(20, 30, is_foreground=False)
    assert first.shape == second.shape == (480, 640) and (first != second).any()


@pytest.mark.usefixtures("at_the_desk")
def test_medical_slices(snippets: Path) -> None:
    left = run(["08"], snippets, tumor_x=20, tumor_y=30)
    assert left["medical_image"].shape == (2, 50, 40)
    assert left["mask"].shape == (1, 50, 40) and left["mask"].dtype == bool


@pytest.mark.gpu
def test_all_of_them_as_they_are(snippets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(laid_out(tmp_path, "vit_h"))
    left = run(["01", "02", "03", "07", "08"], snippets, changes={}, tumor_x=20, tumor_y=30)
    assert left["sam"].device.type == "cuda"
    assert left["best_mask"].shape == (480, 640) and left["mask"].shape == (1, 50, 40)
