from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest

RECIPE = Path(__file__).parents[2] / "datasets" / "brain_icbm152.py"


@pytest.fixture
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("brain_icbm152", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_more_probable_tissue_wins_and_grey_matter_on_a_tie(recipe: ModuleType) -> None:
    grey = np.array([0, 127, 128, 255, 200, 130, 200], dtype=np.uint8)
    white = np.array([0, 128, 127, 0, 210, 130, 130], dtype=np.uint8)
    assert recipe.tissue_labels(grey, white).tolist() == [0, 2, 1, 1, 2, 1, 1]


def test_image_and_label_lie_on_the_templates_grid(
    recipe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nilearn", reason="nilearn ships the template (extra demo)")
    assert recipe.main(["--output", str(tmp_path / "brain")]) == 0
    source = nibabel.load(recipe.source_path("t1"))
    image, label = (nibabel.load(tmp_path / "brain" / f"{name}.nii.gz") for name in ("image", "label"))
    assert image.shape == label.shape == (197, 233, 189)
    assert np.array_equal(image.affine, source.affine) and np.array_equal(label.affine, source.affine)
    assert np.array_equal(np.asanyarray(image.dataobj), np.asanyarray(source.dataobj))
    labels = np.asanyarray(label.dataobj)
    assert labels.dtype == np.uint8 and np.bincount(labels.ravel()).tolist() == [6963686, 1079599, 632004]
    assert sorted(path.name for path in (tmp_path / "brain").iterdir()) == ["image.nii.gz", "label.nii.gz"]
    assert "label.nii.gz" in capsys.readouterr().out


def test_without_nilearn_one_line_says_how_to_install_it(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    assert recipe.main(["--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "nilearn" in error and "sam-ft[demo]" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
