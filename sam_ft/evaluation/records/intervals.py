"""How far the figures of an interactive evaluation may be off: intervals over other images of the same kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.number_of_clicks import clicks_needed, never_reached
from sam_ft.evaluation.records.summaries import CLICKS, Figure, figures
from sam_ft.metrics.bootstrap import (
    LEAST_CLUSTERS,
    Interval,
    cluster_totals,
    interval_of_mean_of_ratios,
    percentile_interval,
    resampled_sums,
)


def intervals(records: Sequence[MaskRecord]) -> dict[str, Interval]:
    """The 95 % interval of each figure of a summary, from a bootstrap that draws whole images (`clustered_interval`).

    That of a number of failures (`nof@90`) is of as many masks as there are.

    Args:
        records: of one evaluation.

    Returns:
        From the name of the figure to its interval; without those of fewer than `LEAST_CLUSTERS` images.
    """
    failed = never_reached(records)
    found = {
        key: figure
        for key, figure in (figures(records) | clicks_needed(records) | failed).items()
        if len(set(figure.images)) >= LEAST_CLUSTERS
    }
    if not found:
        return {}
    means = _resampled_means(list(found.values()), list(dict.fromkeys(record.image for record in records)))
    intervals = {
        key: percentile_interval(own, figure.mean)
        for (key, figure), own in zip(found.items(), means.unbind(dim=1), strict=True)
    }
    return {key: _of_masks(each, len(found[key].values)) if key in failed else each for key, each in intervals.items()}


def intervals_of_means(
    parts: Mapping[str, Sequence[MaskRecord]], means: Mapping[str, float], *, drawn_apart: bool
) -> dict[str, Interval]:
    """The intervals of means over classes or over sets, in which small parts count like large ones.

    A figure has one only if enough images of each part have it: a part of one image would seem to be known exactly. A
    resample that misses a part does not count, as if it were drawn again; with ten images that is one in 20,000.

    Args:
        parts: the records of each class or set.
        means: the figures that all parts have, over the parts.
        drawn_apart: whether as many images of each part are drawn as it has, as suits sets; else as many of all
            together, as suits classes, several of which an image may hold.

    Returns:
        As `intervals`; without the figures that fewer than `LEAST_CLUSTERS` images of a part have.
    """
    own = [figures(records) | clicks_needed(records) for records in parts.values()]
    keys = [key for key in means if all(len(set(each[key].images)) >= LEAST_CLUSTERS for each in own)]
    if not keys:
        return {}
    images = {record.image: name for name, records in parts.items() for record in records}
    several = [each[key] for key in keys for each in own]
    resampled = _resampled_means(several, list(images), strata=list(images.values()) if drawn_apart else None)
    over_parts = resampled.view(len(resampled), len(keys), len(parts)).mean(dim=2)  # (R, figures)
    return {
        key: interval_of_mean_of_ratios(
            drawn, means[key], limits=(1.0, math.inf) if key.startswith(CLICKS) else (0.0, 1.0)
        )
        for key, drawn in zip(keys, over_parts.unbind(dim=1), strict=True)
    }


def _resampled_means(
    several: Sequence[Figure], images: Sequence[str], *, strata: Sequence[str] | None = None
) -> Tensor:
    """(R, F) means of F figures over the masks of the drawn images; NaN where none of these is drawn."""
    places = {image: place for place, image in enumerate(images)}
    totals = [
        cluster_totals(
            torch.tensor(figure.values, dtype=torch.float64),
            [places[image] for image in figure.images],
            num_clusters=len(places),
        )
        for figure in several
    ]
    sums = resampled_sums(torch.cat(totals, dim=1), strata=strata)  # (R, 2 F)
    return sums[:, 0::2] / sums[:, 1::2]


def _of_masks(share: Interval, count: int) -> Interval:
    """From a share of masks to their number."""
    return Interval(share.mean * count, share.low * count, share.high * count)
