from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.channels import Channel, channels_of, with_neighbours
from sam_ft.transforms import CT_WINDOWS

ABDOMEN, LUNG = CT_WINDOWS["abdomen"], CT_WINDOWS["lung"]


def test_one_image_through_one_window_is_grey() -> None:
    assert channels_of(None, num_sequences=1) == (Channel(),) * 3
    assert channels_of("lung", num_sequences=1) == (Channel(window=LUNG),) * 3
    assert channels_of([40, 400], num_sequences=1) == (Channel(window=ABDOMEN),) * 3


def test_three_windows_belong_to_one_image_or_to_three() -> None:
    expected = [ABDOMEN, None, LUNG]
    one = channels_of(["abdomen", None, [-600, 1500]], num_sequences=1)
    three = channels_of(["abdomen", None, "lung"], num_sequences=3)
    assert [channel.window for channel in one] == [channel.window for channel in three] == expected
    assert [channel.sequence for channel in one] == [0, 0, 0]
    assert [channel.sequence for channel in three] == [0, 1, 2]


@pytest.mark.parametrize(
    "window, num_sequences, message",
    [
        (["lung", "bone"], 1, "three of these"),
        (["lung"] * 4, 1, "three of these"),
        (["lung", "bone", "bones"], 1, "'bones'"),
        ([40, 400, 40], 1, "pair"),
        ((40, 0), 1, "width > 0"),
        (None, 2, "one pattern of images, or three .* got 2"),
    ],
)
def test_what_gives_no_three_channels_is_refused(window: Any, num_sequences: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        channels_of(window, num_sequences=num_sequences)


def test_neighbours_need_free_channels_and_a_distance() -> None:
    with pytest.raises(ValueError, match="neighbours=null"):
        with_neighbours(channels_of(["lung", "bone", "brain"], num_sequences=1), 1)
    with pytest.raises(ValueError, match="neighbours=null"):
        with_neighbours(channels_of(None, num_sequences=3), 1)
    for distance in (0, -1, 1.5):
        with pytest.raises(ValueError, match="`neighbours`"):
            with_neighbours(channels_of(None, num_sequences=1), distance)  # type: ignore[arg-type]


def save_ramp(nifti: Any) -> None:
    """Slice z (from inferior to superior) has the intensity 10 * z throughout."""
    nifti.save("a/image.nii.gz", np.broadcast_to(np.arange(8, dtype=np.int16) * 10, (6, 6, 8)), nifti.affine("LPS"))
    nifti.save("a/label.nii.gz", np.ones((6, 6, 8), dtype=np.uint8), nifti.affine("LPS"))


@pytest.mark.parametrize("distance, expected", [(1, {0: (0, 0, 10), 3: (20, 30, 40), 7: (60, 70, 70)}),
                                                (3, {0: (0, 0, 30), 3: (0, 30, 60), 7: (40, 70, 70)})])  # fmt: skip
def test_neighbours_are_red_and_blue_and_the_last_slice_stands_in_beyond_the_end(
    nifti: Any, distance: int, expected: dict[int, tuple[int, int, int]]
) -> None:
    save_ramp(nifti)
    dataset = NiftiSlices(*nifti.patterns, window=(127.5, 255)).with_neighbours(distance)
    for index, colours in expected.items():
        assert (dataset[index].image.numpy() == colours).all()


def test_three_sequences_are_red_green_and_blue(nifti: Any) -> None:
    for name, value in (("t1", 10), ("t2", 20), ("flair", 30)):
        nifti.save(f"a/{name}.nii.gz", np.full((6, 6, 2), value, dtype=np.int16))
    nifti.save("a/label.nii.gz", np.ones((6, 6, 2), dtype=np.uint8))
    patterns = [f"{nifti.folder}/*/{name}.nii.gz" for name in ("t1", "t2", "flair")]
    labels = f"{nifti.folder}/*/label.nii.gz"
    dataset = NiftiSlices(patterns, labels, window=(127.5, 255))
    assert (dataset[0].image.numpy() == (10, 20, 30)).all() and dataset[0].name == "a_axial_000"
    twice = NiftiSlices([patterns[1], patterns[1], patterns[0]], labels, window=(127.5, 255))
    assert (twice[0].image.numpy() == (20, 20, 10)).all()


def test_a_sequence_on_another_grid_or_missing_is_refused_by_name(nifti: Any) -> None:
    for name in ("t1", "t2", "label"):
        nifti.save(f"a/{name}.nii.gz", np.ones((6, 6, 2), dtype=np.uint8))
    nifti.save("a/flair.nii.gz", np.ones((6, 6, 2), dtype=np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
    patterns = [f"{nifti.folder}/*/{name}.nii.gz" for name in ("t1", "t2", "flair")]
    labels = f"{nifti.folder}/*/label.nii.gz"
    with pytest.raises(ValueError, match="flair.nii.gz on the grid of its image .*t1.nii.gz.*Resample the sequence"):
        NiftiSlices(patterns, labels)
    nifti.save("b/t1.nii.gz", np.ones((6, 6, 2), dtype=np.uint8))
    nifti.save("b/label.nii.gz", np.ones((6, 6, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="b/label.nii.gz has no image"):
        NiftiSlices(patterns, labels)


def test_three_windows_of_one_image_are_its_channels(nifti: Any) -> None:
    save_ramp(nifti)
    sample = NiftiSlices(*nifti.patterns, window=[(50, 100), (100, 200), (35, 2)])[5]
    assert (sample.image.numpy() == (128, 64, 255)).all()
