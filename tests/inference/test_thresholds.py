from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from sam_ft.inference.candidates import Candidates, Thresholds, find
from sam_ft.inference.thresholds import ThresholdFit, describe, fit_thresholds, trial


def image(
    iou: list[float], stability: list[float], pairs: list[tuple[float, int, int]], *, num_objects: int
) -> Candidates:
    """Proposals that do not overlap."""
    count = len(iou)
    return Candidates(
        image="a",
        iou_predictions=torch.tensor(iou),
        stability_scores=torch.tensor(stability),
        has_pixels=torch.ones(count, dtype=torch.bool),
        excused=torch.zeros(count, dtype=torch.bool),
        suppresses=torch.zeros(count, count, dtype=torch.bool),
        pairs=tuple(pairs),
        num_objects=num_objects,
    )


def random_images(count: int) -> list[Candidates]:
    """40 proposals each, of which a third overlap objects; better ones score higher, but below 0.88."""
    images = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        quality = torch.rand(40, generator=generator)
        predicted = (0.5 * quality + 0.2 * torch.rand(40, generator=generator)).sort(descending=True).values
        pairs = [(quality[place].item(), place, place % 7) for place in range(0, 40, 3) if quality[place] > 0.5]
        made = image(predicted.tolist(), torch.rand(40, generator=generator).tolist(), pairs, num_objects=7)
        suppresses = (torch.rand(40, 40, generator=generator) > 0.9).triu(1)
        images.append(
            Candidates(**{**vars(made), "pairs": tuple(sorted(pairs, reverse=True)), "suppresses": suppresses})
        )
    return images


def test_thresholds_keep_the_good_and_drop_the_bad() -> None:
    """Trusted and stable masks are objects; the others are not."""
    predicted, stability = [0.6, 0.59, 0.58, 0.5, 0.4, 0.3], [0.8, 0.7, 0.1, 0.75, 0.9, 0.6]
    fitted = fit_thresholds([image(predicted, stability, [(1.0, 0, 0), (1.0, 1, 1)], num_objects=2)])
    found = find(image(predicted, stability, [(1.0, 0, 0), (1.0, 1, 1)], num_objects=2), fitted.best.thresholds)
    assert fitted.best.score == found.score == 1
    assert found.filtered.selected == 2
    assert 0.5 <= fitted.best.thresholds.pred_iou_thresh < 0.59
    assert 0.1 < fitted.best.thresholds.stability_score_thresh <= 0.7
    assert fitted.defaults.score == 0 and fitted.defaults.filtered.pred_iou == 6


def test_the_best_is_at_least_as_good_as_every_pair_that_was_tried() -> None:
    images = random_images(3)
    fitted = fit_thresholds(images)
    assert fitted.best.score > fitted.defaults.score
    for first, second in itertools.product((0.0, 0.1, 0.3, 0.45, 0.88), (0.0, 0.2, 0.95)):
        assert fitted.best.score > trial(images, Thresholds(first, second)).score - 0.03
    assert fitted.best == trial(images, fitted.best.thresholds)  # the written, rounded numbers give what is written
    assert (fitted.num_images, fitted.num_objects) == (3, 21)


def test_the_score_is_the_mean_over_the_images() -> None:
    images = random_images(3)
    scores = [trial([each], Thresholds(0.3, 0.1)).score for each in images]
    assert trial(images, Thresholds(0.3, 0.1)).score == pytest.approx(sum(scores) / 3)
    assert len(set(scores)) > 1


def test_where_nothing_does_better_the_defaults_stay() -> None:
    hopeless = fit_thresholds([image([0.6, 0.5], [0.9, 0.8], [], num_objects=3)])
    assert hopeless.best == hopeless.defaults and hopeless.best.score == 0
    perfect = fit_thresholds([image([0.95, 0.9], [1.0, 0.99], [(1.0, 0, 0), (0.98, 1, 1)], num_objects=2)])
    assert perfect.best == perfect.defaults and perfect.best.score == 1
    assert "SAM's own, nothing does better" in describe(perfect)


def test_the_line_says_which_filter_left_nothing() -> None:
    line = describe(fit_thresholds([image([0.6, 0.5], [0.97, 0.2], [(0.97, 0, 0)], num_objects=1)]))
    assert "of 2 masks (0 empty) they drop 2 by predicted IoU, 0 by stability and 0 by overlap, and keep 0" in line
    assert "score 1.000" in line and "\n" not in line


def test_the_file_holds_both_pairs_their_scores_and_what_was_removed(tmp_path: Path) -> None:
    fitted = fit_thresholds(random_images(2))
    fitted.write(tmp_path / "thresholds.json")
    written = json.loads((tmp_path / "thresholds.json").read_text())
    assert Thresholds(written["pred_iou_thresh"], written["stability_score_thresh"]) == fitted.best.thresholds
    assert written["score"] == fitted.best.score
    assert written["defaults"]["pred_iou_thresh"] == 0.88 and written["defaults"]["stability_score_thresh"] == 0.95
    assert written["defaults"]["masks"] == {
        "proposals": 80, "empty": 0, "pred_iou": 80, "stability_score": 0, "overlap": 0, "selected": 0,
    }  # fmt: skip
    assert (written["num_images"], written["num_objects"]) == (2, 14)


def test_a_second_search_gives_the_same() -> None:
    results: list[ThresholdFit] = [fit_thresholds(random_images(3)) for _ in range(2)]
    assert results[0] == results[1]


@pytest.mark.parametrize("images", [[], [image([0.5], [0.5], [], num_objects=0)]])
def test_without_objects_there_is_nothing_to_fit(images: list[Candidates]) -> None:
    with pytest.raises(ValueError, match="Expected at least one object"):
        fit_thresholds(images)
