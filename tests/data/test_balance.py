from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.balance import ClassBalance, class_shares, image_repeats
from sam_ft.data.classes import class_names_of, classes_in
from sam_ft.data.coco import CocoSamples
from sam_ft.data.collation import Prepare
from sam_ft.data.drawing import drawing_of
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.mixture import MixtureSamples, SetPart
from sam_ft.types import Sample


def sample(*names: str, name: str = "image7") -> Sample:
    """Objects side by side, a column each."""
    masks = torch.zeros(len(names), 8, 80, dtype=torch.bool)
    for number in range(len(names)):
        masks[number, :, number] = True
    return Sample(image=torch.zeros(8, 80, 3, dtype=torch.uint8), masks=masks, class_names=names, name=name)


COMMON_AND_RARE = [*(sample("car", "car") for _ in range(98)), sample("car", "bus"), sample()]


def test_the_repeat_factor_is_that_of_lvis() -> None:
    """LVIS: t = 0.001; a class in 1 of 100 000 images is repeated sqrt(100) = 10 times, one in 1 of 4000 twice."""
    balance = ClassBalance(power=0.5, rare_below=0.001, most=1000)
    found = balance.class_repeats({"a": 1e-5, "b": 1 / 4000, "c": 0.001, "d": 0.5})
    assert found == pytest.approx({"a": 10.0, "b": 2.0, "c": 1.0, "d": 1.0})


def test_the_inverse_draws_rare_classes_as_often_as_the_limit_up_to_a_cap() -> None:
    balance = ClassBalance(power=1.0, rare_below=0.1, most=4)
    assert balance.class_repeats({"a": 0.05, "b": 0.001, "c": 0.2}) == pytest.approx({"a": 2.0, "b": 4.0, "c": 1.0})


def test_a_class_counts_once_for_an_image() -> None:
    assert class_shares([("a", "a"), ("a", "b"), (), ("b",)]) == {"a": 0.5, "b": 0.5}
    weighted = class_shares([("a",), ("b",)], weights=np.array([3.0, 1.0]))
    assert weighted == {"a": 0.75, "b": 0.25}


def test_an_image_is_repeated_as_its_rarest_class() -> None:
    assert image_repeats([("a", "b"), ("a",), ()], {"a": 1.5, "b": 3.0}).tolist() == [3.0, 1.5, 1.0]


def test_images_with_a_rare_class_are_drawn_more_often(caplog: pytest.LogCaptureFixture) -> None:
    """The bus is in 1 % of the images, a tenth of 10 %: with the square root sqrt(10) times as often as the others."""
    with caplog.at_level(logging.INFO):
        drawing = drawing_of(COMMON_AND_RARE, balance=ClassBalance())  # type: ignore[arg-type]
    assert drawing.class_repeats == pytest.approx({"bus": 10**0.5, "car": 1.0})
    assert len(drawing.draws) == 100
    drawn = Counter(int(draw) % 100 for epoch in range(300) for draw in drawing.draws(epoch, seed=0))
    usual = np.mean([drawn[item] for item in range(98)])
    assert drawn[98] / usual == pytest.approx(10**0.5, rel=0.03) and drawn[99] / usual == pytest.approx(1, rel=0.02)
    assert "bus (1 % of draws) x 3.16" in caplog.text


def test_without_a_rare_class_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        drawing_of([sample("car")], balance=ClassBalance())  # type: ignore[arg-type]
    assert "no class is in less than 10 % of the draws" in caplog.text


def test_in_a_mixture_a_class_is_as_rare_as_the_draws_of_all_sets_make_it() -> None:
    """Half of the draws are of `few`, of which every image has a bus: with the weights it is not rare."""
    sets = {
        "many": SetPart(COMMON_AND_RARE[:98], num_draws=20),  # type: ignore[arg-type]
        "few": SetPart([sample("bus"), sample("bus", "tram")], num_draws=20),  # type: ignore[arg-type]
    }
    drawing = drawing_of(MixtureSamples(sets), balance=ClassBalance(power=1, rare_below=0.5, most=9))
    assert drawing.class_repeats == pytest.approx({"bus": 1.0, "car": 1.0, "tram": 2.0})
    drawn = Counter(int(draw) % 100 for epoch in range(60) for draw in drawing.draws(epoch, seed=0))
    assert drawn[98] + drawn[99] == 60 * 20  # the share of a set stays
    assert drawn[99] == 2 * drawn[98]


@pytest.mark.parametrize("augment", [False, True])
def test_objects_of_rare_classes_are_kept_first(augment: bool) -> None:
    crowded = sample(*["car"] * 30, "bus", *["car"] * 30, "tram", "lorry")

    def unchanged(image: np.ndarray, masks: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return image, masks

    prepare = Prepare(
        80,
        max_objects=4,
        augment=unchanged if augment else None,
        class_repeats={"car": 1.0, "bus": 5.0, "tram": 2.0, "lorry": 1.0},
    )
    kept = [prepare(crowded, seed=(seed,)).sample for seed in range(200)]
    assert all({"bus", "tram"} <= set(each.class_names) and len(each.class_names) == 4 for each in kept)
    assert any("lorry" in each.class_names for each in kept)  # common classes by chance
    columns = {int(mask.any(dim=0).nonzero()[0]) for each in kept for mask in each.masks}
    assert len(columns) > 50  # and every car has its turn
    assert all(each.class_names.index("bus") < each.class_names.index("tram") for each in kept)  # the sample's order
    again = prepare(crowded, seed=(3,)).sample
    assert torch.equal(again.masks, kept[3].masks)


def test_as_many_as_64_objects_are_kept() -> None:
    prepared = Prepare(80, max_objects=64, class_repeats={"bus": 2.0})(sample(*["car"] * 79, "bus"))
    assert len(prepared.masks) == 64 and "bus" in prepared.sample.class_names


@pytest.mark.parametrize(
    "wrong", [{"power": -1}, {"rare_below": 2}, {"rare_below": "a"}, {"most": 0.5}, {"most": float("inf")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassBalance(**wrong)


def test_the_classes_of_a_coco_file_are_known_without_its_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    square = [[0, 0, 3, 0, 3, 3, 0, 3]]
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 7, "segmentation": square},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": square, "iscrowd": 1},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "bus"}, {"id": 7, "name": "car"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    samples = CocoSamples(tmp_path / "a.json", tmp_path)
    assert classes_in(samples, 0) == ("car",) and class_names_of(samples) == ("car",)


def test_the_classes_of_label_maps_are_known_without_their_images(tmp_path: Path) -> None:
    for kind, pixels in (("images", np.random.default_rng(0).integers(0, 255, (64, 64))), ("labels", np.eye(64))):
        (tmp_path / kind).mkdir()
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / kind / "a.png")
    samples = ImageMaskFolder(tmp_path / "images", tmp_path / "labels", class_name="cell")
    image = tmp_path / "images" / "a.png"
    image.write_bytes(image.read_bytes()[:200])  # little more than its header
    assert classes_in(samples, 0) == ("cell",)
    with pytest.raises(ValueError, match="a.png"):
        samples[0]
