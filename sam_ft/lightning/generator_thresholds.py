"""The thresholds of the mask generator that suit a model's weights, as a file, with a bar that shows progress."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tqdm import tqdm

from sam_ft.data.collation import PreparedSamples
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.inference.candidates import candidates_of
from sam_ft.inference.thresholds import ThresholdFit, fit_thresholds
from sam_ft.models.sam.model import Sam

_logger = logging.getLogger(__name__)


def write_thresholds(model: Sam, samples: PreparedSamples, path: Path, *, num_images: int) -> ThresholdFit | None:
    """Fit the thresholds to images spread evenly over a data set, and write them.

    Args:
        model: runs where it is.
        samples: such as the validation part, whole.
        path: of the file, `thresholds.json`; one that is there, of other weights, goes.
        num_images: at most so many images; 0: none, nothing is written and nothing goes.

    Returns:
        What was written; None if there are no images or, with a warning, if they hold no object.
    """
    if num_images == 0:
        return None
    path.unlink(missing_ok=True)
    chosen = spread_evenly(num_images, len(samples))
    interval = 0.5 if sys.stderr.isatty() else 15
    with tqdm(chosen, desc="thresholds", unit="image", mininterval=interval, dynamic_ncols=True) as bar:
        images = [candidates_of(model, samples[index]) for index in bar]
    if not any(image.num_objects for image in images):
        _logger.warning("The thresholds of the mask generator stay: %d images hold no object.", len(images))
        return None
    fitted = fit_thresholds(images)
    fitted.write(path)
    return fitted
