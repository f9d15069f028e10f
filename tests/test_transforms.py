from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.transforms import (
    CT_WINDOWS,
    PIXEL_MEAN,
    PIXEL_STD,
    Frame,
    foreground_mask,
    image_range,
    nearest_indices,
    percentile_range,
    rescale,
    resolve_window,
    window,
)

sizes = st.integers(1, 300)
quick = settings(max_examples=40, deadline=None)


def test_longest_side_fills_the_frame_and_the_other_is_rounded_half_up() -> None:
    assert Frame((1200, 1800), 1024).input_size == (683, 1024)  # 682.67
    assert Frame((50, 100), 25).input_size == (13, 25)  # 12.5, as segment_anything's int(x + 0.5)
    assert Frame((1, 5000), 64).input_size == (1, 64)  # 0.01: never empty


@quick
@given(sizes, sizes, st.sampled_from([16, 64, 257]))
def test_points_and_boxes_come_back_from_the_frame(height: int, width: int, image_size: int) -> None:
    frame = Frame((height, width), image_size)
    boxes = torch.rand(3, 4, dtype=torch.float64) * max(height, width)
    torch.testing.assert_close(frame.boxes_to_source(frame.boxes_to_frame(boxes)), boxes)
    torch.testing.assert_close(frame.points_to_source(frame.points_to_frame(boxes[:, :2])), boxes[:, :2])


def test_points_scale_x_by_the_width_and_y_by_the_height() -> None:
    frame = Frame((50, 100), 25)  # resized to 13 x 25
    point = frame.points_to_frame(torch.tensor([[40, 10]]))
    torch.testing.assert_close(point, torch.tensor([[40.5 * 25 / 100 - 0.5, 10.5 * 13 / 50 - 0.5]]))
    box = frame.boxes_to_frame(torch.tensor([40.0, 10.0, 79.0, 19.0]))  # 40 pixels wide, 10 high
    torch.testing.assert_close(box, torch.tensor([10.0, 2.6, 19.0, 4.2]))  # 10 wide, 2.6 high


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_prompts_of_a_mask_brought_to_the_frame_are_those_of_the_mask_in_the_frame(factor: int) -> None:
    mask = torch.zeros(1, 12, 16, dtype=torch.bool)
    mask[0, 3:8, 5:12] = True  # odd sides: one pixel is the centre
    frame = Frame((12, 16), 16 * factor)
    in_frame = frame.masks_to_frame(mask)
    assert torch.equal(frame.boxes_to_frame(boxes_of_masks(mask)), boxes_of_masks(in_frame))
    rows, columns = in_frame[0].nonzero(as_tuple=True)
    middle = torch.stack([columns.double().mean(), rows.double().mean()]).float()
    torch.testing.assert_close(frame.points_to_frame(torch.tensor([8.0, 5.0])), middle)


def test_image_is_resized_as_pil_does_normalised_and_then_padded_with_zeros() -> None:
    image = torch.randint(0, 256, (30, 50, 3), dtype=torch.uint8)
    result = Frame((30, 50), 20).image_to_frame(image)
    resized = np.array(Image.fromarray(image.numpy()).resize((20, 12), Image.Resampling.BILINEAR), dtype=np.float32)
    expected = (resized - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    assert result.shape == (3, 20, 20) and result.dtype == torch.float32
    torch.testing.assert_close(result[:, :12], torch.from_numpy(expected).permute(2, 0, 1))
    assert (result[:, 12:] == 0).all()


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(30, 50, 3\)"):
        Frame((30, 50), 20).image_to_frame(torch.zeros(50, 30, 3, dtype=torch.uint8))


@quick
@given(sizes, sizes)
def test_masks_enlarged_into_the_frame_come_back_exactly(height: int, width: int) -> None:
    frame = Frame((height, width), 300)
    masks = torch.rand(2, height, width) > 0.5
    in_frame = frame.masks_to_frame(masks)
    rows = nearest_indices(frame.input_size[0], height)
    columns = nearest_indices(frame.input_size[1], width)
    assert torch.equal(in_frame[:, rows][:, :, columns], masks)
    assert not in_frame[:, frame.input_size[0] :].any() and not in_frame[:, :, frame.input_size[1] :].any()


def test_no_masks_give_no_masks() -> None:
    assert Frame((3, 4), 8).masks_to_frame(torch.zeros(0, 3, 4, dtype=torch.bool)).shape == (0, 8, 8)


def test_logits_return_to_the_source_as_segment_anything_does_it() -> None:
    frame = Frame((30, 50), 64)
    logits = torch.randn(2, 3, 16, 16)
    expected = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear", align_corners=False)
    expected = torch.nn.functional.interpolate(expected[..., :38, :64], (30, 50), mode="bilinear", align_corners=False)
    torch.testing.assert_close(frame.logits_to_source(logits), expected)
    torch.testing.assert_close(frame.logits_to_source(logits[0, 0]), expected[0, 0])
    assert frame.logits_to_source(logits[:, :0]).shape == (2, 0, 30, 50)


def test_a_mask_survives_the_way_into_the_frame_and_back_as_logits() -> None:
    frame = Frame((60, 40), 64)
    mask = torch.zeros(1, 60, 40, dtype=torch.bool)
    mask[:, 10:40, 5:30] = True
    logits = frame.masks_to_frame(mask).float() * 20 - 10
    back = frame.logits_to_source(logits) > 0
    assert (back & mask).sum() / (back | mask).sum() > 0.97


def test_window_maps_its_ends_to_0_and_255_and_clips_beyond() -> None:
    values = np.array([-2000.0, -160.0, 40.0, 240.0, 3000.0, np.nan, np.inf, -np.inf])
    result = window(values, level=40, width=400)
    assert result.dtype == np.uint8
    assert result.tolist() == [0, 0, 128, 255, 255, 0, 255, 0]


def test_lung_window_is_the_one_that_shows_lung_tissue() -> None:
    assert CT_WINDOWS["lung"] == (-600, 1500) and CT_WINDOWS["abdomen"] == (40, 400)


def test_window_names_resolve_and_unknown_ones_list_the_known() -> None:
    assert resolve_window("bone") == (400, 1800)
    assert resolve_window([50, 350]) == (50.0, 350.0)
    with pytest.raises(ValueError, match="abdomen, bone, brain.*'bones'"):
        resolve_window("bones")
    with pytest.raises(ValueError, match="pair"):
        resolve_window((40, 0))


def test_foreground_leaves_out_the_value_that_the_corners_share() -> None:
    volume = np.full((6, 6, 6), -3.5)
    volume[2:4, 2:4, 2:4] = np.arange(8).reshape(2, 2, 2)
    assert sorted(volume[foreground_mask(volume)]) == list(range(8))


def test_foreground_of_a_volume_without_constant_ground_is_everything_finite() -> None:
    volume = np.arange(27.0).reshape(3, 3, 3)
    volume[1, 1, 1] = np.nan
    assert foreground_mask(volume).sum() == 26
    assert foreground_mask(np.zeros((2, 2, 2))).sum() == 8


def test_percentiles_ignore_the_ground() -> None:
    volume = np.zeros((10, 10, 12))
    volume[:, :, 1:11] = np.arange(1, 1001).reshape(10, 10, 10)
    assert percentile_range(volume, lower=0, upper=100) == (1, 1000)
    low, high = percentile_range(volume)
    assert low == pytest.approx(1 + 999 * 0.005) and high == pytest.approx(1 + 999 * 0.995)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "uint16", "int32"])
def test_percentiles_of_integers_are_those_of_numpy_in_floating_point(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 200, (7, 8, 9)).astype(dtype)
    expected = np.percentile(values.astype(np.float64), [20.3, 80.9])
    assert percentile_range(values, lower=20.3, upper=80.9) == tuple(expected)


def test_percentiles_between_integers_that_lie_far_apart_do_not_overflow() -> None:
    values = np.array([[-30_000, -29_000], [29_000, 30_000]], dtype=np.int16)
    assert percentile_range(values, lower=50, upper=100) == (0, 30_000)


def test_percentiles_leave_the_volume_as_it_is() -> None:
    for dtype in (np.int16, np.float32):
        volume = np.arange(24)[::-1].reshape(2, 3, 4).astype(dtype)
        percentile_range(volume)
        assert np.array_equal(volume.ravel(), np.arange(24)[::-1])


def test_a_foreground_of_one_value_still_stands_out() -> None:
    volume = np.zeros((10, 10, 10))
    volume[5, 5, 5] = 7
    assert percentile_range(volume) == (0, 7)


def test_the_range_of_an_image_counts_its_ground() -> None:
    image = np.zeros((20, 50))
    image[5:15, 10:40] = np.arange(1, 301).reshape(10, 30)
    image[0, 1] = np.nan
    assert image_range(image) == tuple(np.percentile(image[np.isfinite(image)], (0.5, 99.5)))
    assert image_range(image)[0] == 0 < percentile_range(image)[0]
    dot = np.zeros((30, 30))
    dot[4, 4] = 7
    assert image_range(dot) == (0, 7)
    with pytest.raises(ValueError, match="finite intensity"):
        image_range(np.full((3, 3), np.nan))


def test_rescaling_a_constant_volume_gives_black() -> None:
    assert rescale(np.full((2, 2), 7.0), low=7, high=7).tolist() == [[0, 0], [0, 0]]
