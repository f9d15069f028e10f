from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sam_ft.data.augment import AlbumentationsPipeline, augmentation


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    return image, (random.random((3, 24, 32)) > 0.5).astype(np.uint8)


def test_none_is_no_augmentation_and_unknown_names_list_the_known() -> None:
    assert augmentation("none") is None
    with pytest.raises(ValueError, match="none, light, microscopy, medical.*'heavy'"):
        augmentation("heavy")


@pytest.mark.parametrize("name", ["light", "microscopy", "medical"])
def test_equal_seeds_give_equal_pictures_whatever_came_before(
    name: str, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    augment = augmentation(name)
    assert augment is not None
    first = [augment(*picture, seed=seed) for seed in range(12)]
    for seed in reversed(range(12)):
        image, masks = augment(*picture, seed=seed)
        assert np.array_equal(image, first[seed][0]) and np.array_equal(masks, first[seed][1])
        assert image.dtype == np.uint8 and set(np.unique(masks)) <= {0, 1} and len(masks) == 3
    assert len({image.tobytes() for image, _ in first}) > 8


@pytest.mark.parametrize("name", ["light", "microscopy", "medical"])
def test_label_maps_keep_their_values(name: str, picture: tuple[np.ndarray, np.ndarray]) -> None:
    augment = augmentation(name)
    assert augment is not None
    labels = np.repeat(np.repeat(np.array([[[0, 17], [200, 255]]], dtype=np.uint8), 12, axis=1), 16, axis=2)
    for seed in range(20):
        _, changed = augment(picture[0], labels, seed=seed)
        assert set(np.unique(changed)) <= {0, 17, 200, 255}


@pytest.mark.parametrize("name", ["light", "microscopy"])
def test_a_dim_image_stays_visible(name: str) -> None:
    augment = augmentation(name)
    assert augment is not None
    image = np.full((64, 64, 3), 6, dtype=np.uint8)
    image[16:48, 16:48] = 30
    for seed in range(60):
        changed, masks = augment(image, (image[None, ..., 0] > 10).astype(np.uint8), seed=seed)
        inside, outside = (changed[masks[0] == value].mean() for value in (1, 0))
        assert abs(inside - outside) > 12, seed


def test_microscopy_exchanges_dark_and_bright_and_drops_colours_in_some_images() -> None:
    augment = augmentation("microscopy")
    assert augment is not None
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[..., 0] = 60
    changed = np.array(
        [augment(image, np.zeros((1, 8, 8), np.uint8), seed=seed)[0].mean(axis=(0, 1)) for seed in range(200)]
    )
    is_grey, is_inverted = np.ptp(changed, axis=1) < 1, changed[:, 1] > 128
    assert 35 < is_grey.sum() < 85 and 35 < is_inverted.sum() < 85 and (is_grey & is_inverted).any()


def test_the_source_is_left_as_it_was(picture: tuple[np.ndarray, np.ndarray]) -> None:
    image, masks = picture[0].copy(), picture[1].copy()
    augment = augmentation("medical")
    assert augment is not None
    for seed in range(10):
        augment(image, masks, seed=seed)
    assert np.array_equal(image, picture[0]) and np.array_equal(masks, picture[1])


def test_transforms_of_one_pipeline_draw_independently() -> None:
    import albumentations

    augment = AlbumentationsPipeline([albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)])
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[0, 0] = 255
    corners = {(0, 0): 0, (0, 3): 0, (3, 0): 0, (3, 3): 0}
    for seed in range(400):
        changed, _ = augment(image, np.zeros((0, 4, 4), np.uint8), seed=seed)
        row, column = np.argwhere(changed[..., 0])[0]
        corners[row, column] += 1
    assert min(corners.values()) > 65  # 100 each, deviation 8.7; one shared stream would leave two at 0


def test_medical_never_turns_the_patient_upside_down() -> None:
    augment = augmentation("medical")
    assert augment is not None
    top = np.zeros((1, 64, 64), dtype=np.uint8)
    top[:, :32] = 1
    for seed in range(60):
        _, masks = augment(np.zeros((64, 64, 3), np.uint8), top, seed=seed)
        assert masks[0, :16, 16:48].sum() > masks[0, 48:, 16:48].sum()


def test_importing_the_package_asks_no_network_and_leaves_the_environment_alone() -> None:
    program = (
        "import os, socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('asked the network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "import sam_ft.data.augment, sys\n"
        "assert 'albumentations' not in sys.modules\n"
        "sam_ft.data.augment.augmentation('light')\n"
        "assert 'albumentations' in sys.modules and 'NO_ALBUMENTATIONS_UPDATE' not in os.environ\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
