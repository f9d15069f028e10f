from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from sam_ft.data.phantoms import Phantoms


def test_objects_are_connected_and_large_enough() -> None:
    for sample in Phantoms(40, image_size=64):
        for mask in sample.masks.numpy():
            assert mask.sum() >= 0.003 * 64**2
            assert ndimage.label(mask, structure=torch.ones(3, 3))[1] == 1


def test_tissues_share_no_pixel_and_bodies_neither() -> None:
    seen = set()
    for sample in Phantoms(40, image_size=64):
        is_body = torch.tensor([name == "body" for name in sample.class_names], dtype=torch.bool)
        assert sample.masks[is_body].sum(dim=0).max() <= 1
        if not is_body.all():
            assert sample.masks[~is_body].sum(dim=0).max() <= 1
        seen |= set(sample.class_names)
    assert seen == {"body", "rim", "core", "nucleus", "cavity"}


def test_a_folded_rim_is_thin_and_leaves_clefts() -> None:
    def hull_filled(folded: float) -> list[float]:
        """How much of the box around each body of several tissues is body."""
        shares = []
        for sample in Phantoms(60, image_size=96, folded=folded):
            for name, mask in zip(sample.class_names, sample.masks, strict=True):
                if name == "body" and sample.masks[:, mask].any(dim=1).sum() > 1 and mask.sum() > 900:
                    y0, y1, x0, x1 = (f(i) for i in mask.nonzero().T for f in (torch.min, torch.max))
                    shares.append(float(mask.sum() / ((y1 - y0 + 1) * (x1 - x0 + 1))))
        return sorted(shares)

    plain, folded = hull_filled(0.0), hull_filled(1.0)
    assert folded[len(folded) // 2] < plain[len(plain) // 2] - 0.05
    with pytest.raises(ValueError, match="folded"):
        Phantoms(1, folded=1.5)


def test_a_tissue_differs_from_its_neighbour() -> None:
    differences = []
    for sample in Phantoms(40, image_size=96):
        grey = sample.image.float().mean(dim=-1)
        means = {name: grey[mask].mean() for name, mask in zip(sample.class_names, sample.masks, strict=True)}
        if "rim" in means and "core" in means:
            differences.append(abs(float(means["rim"] - means["core"])))
    assert len(differences) > 5
    assert sorted(differences)[len(differences) // 2] > 20
