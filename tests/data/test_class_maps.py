from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_ft.data.class_maps import IGNORED, class_map, class_maps
from sam_ft.data.collation import Prepare, collate
from sam_ft.types import Sample

NAMES = ("background", "cell", "nucleus")


def sample(*, height: int = 8, width: int = 8, ignored: bool = True) -> Sample:
    """A cell with a nucleus in it, which comes first; the last column is unknown."""
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[1, 2:7, 2:7] = True
    masks[0, 3:5, 3:5] = True
    unknown = torch.zeros(height, width, dtype=torch.bool)
    unknown[:, -1] = True
    return Sample(
        image=torch.zeros(height, width, 3, dtype=torch.uint8),
        masks=masks,
        class_names=("nucleus", "cell"),
        name="a",
        ignored=unknown if ignored else None,
    )


def test_the_smallest_object_counts_and_the_rest_is_background():
    found = class_map(sample(), NAMES)
    assert found[4, 4] == 2 and found[2, 2] == 1 and found[0, 0] == 0
    assert (found[:, -1] == IGNORED).all()
    assert (found == 2).sum() == 4 and (found == 1).sum() == 21 and (found == IGNORED).sum() == 8
    assert not (class_map(sample(ignored=False), NAMES) == IGNORED).any()


def test_where_an_object_lies_the_class_is_known_though_it_is_ignored():
    """In the truth that is measured as in the one that is taught, where padded objects know nothing."""
    covered = replace(sample(), ignored=torch.ones(8, 8, dtype=torch.bool))
    fewer = replace(covered, masks=covered.masks[:1], class_names=("nucleus",))
    found = class_map(covered, NAMES)
    assert (found == 2).sum() == 4 and (found == 1).sum() == 21 and (found == IGNORED).sum() == 64 - 25
    maps = class_maps(collate([Prepare(8)(covered), Prepare(8)(fewer)]), NAMES)
    assert torch.equal(maps[0], found)
    assert (maps[1] == 2).sum() == 4 and (maps[1] == IGNORED).sum() == 64 - 4


def test_the_frame_shows_the_same_classes_as_the_source():
    batch = collate([Prepare(16)(sample()), Prepare(16)(sample(ignored=False))])
    maps = class_maps(batch, NAMES)
    assert torch.equal(maps[0, ::2, ::2], class_map(sample(), NAMES))
    assert torch.equal(maps[1, ::2, ::2], class_map(sample(ignored=False), NAMES))
    assert collate([Prepare(16)(sample(ignored=False))]).ignored is None


def test_padded_objects_are_no_classes():
    more = sample()
    fewer = replace(more, masks=more.masks[1:], class_names=("cell",))
    maps = class_maps(collate([Prepare(16)(more), Prepare(16)(fewer)]), NAMES)
    assert torch.equal(maps[1].unique(), torch.tensor([IGNORED, 0, 1]))


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="a has nucleus"):
        class_map(sample(), NAMES[:2])


def test_what_is_ignored_is_augmented_with_the_image():
    def flip(image: np.ndarray, masks: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return image[:, ::-1], masks[:, :, ::-1]

    plain, flipped = (class_maps(collate([Prepare(8, augment=how)(sample())]), NAMES)[0] for how in (None, flip))
    assert torch.equal(flipped, plain.flip(-1))


def test_a_batch_moves_with_what_it_ignores():
    moved = collate([Prepare(16)(sample())]).to("meta")
    assert moved.ignored is not None and moved.ignored.device.type == "meta"


def test_what_is_ignored_must_fit_its_image():
    with pytest.raises(ValueError, match=r"`ignored` \(8, 8\) of bool in a, but got \(7, 8\)"):
        replace(sample(), ignored=torch.zeros(7, 8, dtype=torch.bool))


def test_of_padded_images_no_pixel_is_known():
    batch = collate([Prepare(8)(sample())])
    padded = replace(
        batch,
        images=torch.cat([batch.images, torch.randn_like(batch.images)]),
        masks=torch.cat([batch.masks, torch.ones_like(batch.masks)]),
        valid=torch.cat([batch.valid, torch.zeros_like(batch.valid)]),
    )
    maps = class_maps(padded, NAMES)
    assert torch.equal(maps[:1], class_maps(batch, NAMES)) and (maps[1] == IGNORED).all()
