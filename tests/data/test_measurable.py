"""Images of one name and objects without a pixel are refused by every measurement."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.collation import whole_batches
from sam_ft.data.measurable import expect_measurable
from sam_ft.evaluation.measuring import measure
from sam_ft.evaluation.pixels.instances import measure_instances
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts, Sample


def sample(name: str, *, num_empty: int = 0) -> Sample:
    """One object of a square, and others without a pixel before it."""
    masks = torch.zeros(num_empty + 1, 32, 32, dtype=torch.bool)
    masks[-1, 4:12, 4:12] = True
    return Sample(torch.zeros(32, 32, 3, dtype=torch.uint8), masks, ("object",) * len(masks), name)


class Read:
    """A data set that is not in memory."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class Untouched:
    """A model that is not to be asked."""

    image_size = 32
    pixel_class_names = ("background", "interior", "boundary")

    def encode_image(self, images: torch.Tensor) -> ImageEmbedding:
        raise AssertionError("It was asked.")

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        raise AssertionError("It was asked.")

    def classify_pixels(self, embedding: ImageEmbedding) -> torch.Tensor:
        raise AssertionError("It was asked.")


TWICE = [sample("a"), sample("b"), sample("c"), sample("a")]
EMPTY = [sample("a"), sample("b"), sample("c", num_empty=1)]
MESSAGES = {"twice": "got two of a", "empty": "an empty mask for object 0 of c; leave empty masks out"}


@pytest.mark.parametrize("samples, message", [(TWICE, MESSAGES["twice"]), (EMPTY, MESSAGES["empty"])])
def test_samples_in_memory_are_refused_before_the_model_is_asked(samples: list[Sample], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(Untouched(), samples, batch_size=1)
    with pytest.raises(ValueError, match=message):
        measure_instances(Untouched(), BoundarySamples(samples, boundary_px=1), batch_size=1)  # type: ignore[arg-type]
    share: Sequence[int] = [1]  # of one process, which sees neither of the two
    with pytest.raises(ValueError, match=message):
        expect_measurable(torch.utils.data.Subset(samples, share))  # type: ignore[arg-type]


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("samples, message", [(TWICE, MESSAGES["twice"]), (EMPTY, MESSAGES["empty"])])
def test_samples_that_are_read_are_refused_as_soon_as_they_are(
    samples: list[Sample], message: str, num_workers: int
) -> None:
    seen = []
    with pytest.raises(ValueError, match=message):
        for batch in whole_batches(Read(*samples), image_size=32, batch_size=1, num_workers=num_workers):
            seen += [each.name for each in batch.samples]
    assert len(set(seen)) == len(seen) < len(samples)


def test_different_images_with_objects_or_without_any_are_measured() -> None:
    none = Sample(torch.zeros(32, 32, 3, dtype=torch.uint8), torch.zeros(0, 32, 32, dtype=torch.bool), (), "none")
    batches = whole_batches([sample("a"), none, sample("b")], image_size=32, batch_size=2)
    assert len(batches) == 2
    assert [each.name for batch in batches for each in batch.samples] == ["a", "none", "b"]
    assert len(list(batches)) == 2  # once more, though all names were there before
