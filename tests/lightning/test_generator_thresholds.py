from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sam_ft.data.collation import Prepare, PreparedSamples
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.generator_thresholds import write_thresholds
from sam_ft.models.sam.model import Sam
from sam_ft.types import Sample


def test_images_are_spread_over_the_data_set(tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    samples = Synthetic(9, image_size=64)
    whole = PreparedSamples(samples, Prepare(64))
    fitted = write_thresholds(tiny_model(), whole, tmp_path / "thresholds.json", num_images=3)
    assert fitted is not None and fitted.num_images == 3
    assert fitted.num_objects == sum(len(samples[index].masks) for index in (1, 4, 7))
    assert json.loads((tmp_path / "thresholds.json").read_text())["num_objects"] == fitted.num_objects


def test_images_without_objects_give_a_warning_and_no_file(
    tmp_path: Path, tiny_model: Callable[..., Sam], caplog: pytest.LogCaptureFixture
) -> None:
    image, masks = torch.zeros(64, 64, 3, dtype=torch.uint8), torch.zeros(0, 64, 64, dtype=torch.bool)
    (tmp_path / "thresholds.json").write_text("old")
    with caplog.at_level(logging.WARNING):
        samples = PreparedSamples([Sample(image=image, masks=masks, class_names=(), name="empty")], Prepare(64))
        assert write_thresholds(tiny_model(), samples, tmp_path / "thresholds.json", num_images=3) is None
    assert "1 images hold no object" in caplog.text
    assert not (tmp_path / "thresholds.json").exists()
