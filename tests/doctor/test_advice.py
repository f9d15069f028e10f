"""What is suggested for which objects, and how it is written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from sam_ft.doctor.advice import Known, Setting, advice_for, as_yaml
from sam_ft.doctor.experiment import Choice, experiment_yaml, write_experiment
from sam_ft.doctor.sizing import ObjectSizes, specks, suited_image_size, suited_windows
from tests.doctor import faults_of_images, faults_of_volumes, healthy
from tests.doctor.healthy import DataSet

SETTINGS = {"data.stretch", "data.axis", "data.min_area_px", "model.image_size", "loader.windows"}


def sizes(*sides: float, longest: int = 1000) -> ObjectSizes:
    areas = np.array([(side * longest) ** 2 for side in sides])
    return ObjectSizes(np.array(sides), areas, longest=np.array([longest]), per_image=np.array([len(sides)]))


def advised(data: DataSet, *given: str, image_size: int = 512) -> dict[str, object]:
    known = Known(settings=SETTINGS, given=given, image_size=image_size, may_resize=False)
    return {setting.key: setting.value for setting in advice_for(data.examine(), known)}


@pytest.mark.parametrize("side, expected", [(0.5, 128), (0.1, 256), (0.05, 512), (0.03, 1024), (0.005, 1024)])
def test_the_frame_is_the_smallest_in_which_objects_have_24_pixels(side: float, expected: int) -> None:
    assert suited_image_size(sizes(side)) == expected


def test_a_frame_is_not_much_larger_than_twice_the_images() -> None:
    assert suited_image_size(sizes(0.01, longest=100)) == 256
    assert suited_image_size(sizes()) is None


def test_windows_show_small_objects_32_pixels_wide() -> None:
    assert suited_windows(sizes(0.01), image_size=1024) == (0.16, 0.32)
    assert suited_windows(sizes(0.02), image_size=1024) is None
    assert suited_windows(sizes(0.0001), image_size=1024) == (0.05, 0.1)


def test_specks_are_small_in_pixels_and_beside_the_others() -> None:
    given = ObjectSizes(np.zeros(6), np.array([1, 8, 9, 400, 400, 400]), longest=np.ones(1), per_image=np.ones(1))
    assert specks(given).tolist() == [True, True, False, False, False, False]
    alike = ObjectSizes(np.zeros(3), np.array([4, 5, 6]), longest=np.ones(1), per_image=np.ones(1))
    assert not specks(alike).any()


def test_settings_follow_from_findings(tmp_path: Path) -> None:
    data = healthy.instances(tmp_path / "images")
    assert advised(data) == {}
    faults_of_images.dim(data)
    faults_of_images.specks(data)
    assert advised(data) == {"data.stretch": True, "data.min_area_px": 10}
    assert advised(data, "data.stretch") == {"data.min_area_px": 10}
    assert advised(data, "data.stretch", image_size=64)["loader.windows"] == (0.19, 0.37)
    scans = healthy.volumes(tmp_path / "scans")
    faults_of_volumes.anisotropic(scans)
    assert advised(scans)["data.axis"] == "coronal"


def test_an_override_is_typed_as_it_stands() -> None:
    assert Setting("loader.windows", (0.2, 0.4), "small").override == "loader.windows=[0.2,0.4]"
    assert [as_yaml(value) for value in (True, False, None, 3, "axial")] == ["true", "false", "null", "3", "axial"]


def test_an_experiment_reads_back_as_it_was_given(tmp_path: Path) -> None:
    values = {
        "data.root": "a: b #c",
        "data.classes": {"road": [1, 2], "car": 3},
        "trainer.max_steps": 5,
        "resume": None,
    }
    choices = [Choice("data", "mixture"), Choice("data@data.sets.a", "coco", is_added=True), Choice("experiment", None)]
    settings = [Setting("data.stretch", True, "dim"), Setting("loader.windows", (0.1, 0.2), "small")]
    text = experiment_yaml(choices, values, settings, head=["Why: so", ""])
    write_experiment(tmp_path / "experiment.yaml", text)
    read = OmegaConf.to_container(OmegaConf.load(tmp_path / "experiment.yaml"))
    assert read == {
        "defaults": [
            "fit",
            {"/data@data.sets.a": "coco"},
            {"override /data": "mixture"},
            {"override /experiment": None},
            "_self_",
        ],
        "data": {"root": "a: b #c", "classes": {"road": [1, 2], "car": 3}, "stretch": True},
        "trainer": {"max_steps": 5},
        "resume": None,
        "loader": {"windows": [0.1, 0.2]},
    }
    assert "stretch: true  # dim" in text and text.startswith("# Why: so\n#\n")
