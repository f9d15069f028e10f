"""HQ-SAM: what it adds to the mask decoder learns, and SAM stays as it is.

Source: Ke et al. 2023 (HQ-SAM), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from sam_ft.models.adapt.freeze import train_only
from sam_ft.models.sam.hq import add_high_quality, is_high_quality
from sam_ft.models.sam.model import Sam


@dataclass(frozen=True)
class HighQuality:
    """The high-quality token, its perceptron and the fusion of features learn; the rest stays as it is.

    Theirs is taught the new mask alone, and adds SAM's to it afterwards; ours is taught the sum, which is the answer.
    """

    def __call__(self, model: Sam) -> None:
        """Add these parts where they are not there yet, and choose what learns, in place.

        Raises:
            ValueError: no block of the image encoder has global attention.
        """
        add_high_quality(model)
        train_only(model, ())
        for name, parameter in model.named_parameters():
            if is_high_quality(name):
                parameter.requires_grad_(True)
