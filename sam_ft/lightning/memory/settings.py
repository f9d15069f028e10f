"""What a training step keeps for its gradient, and what it computes a second time instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch.utils.checkpoint import checkpoint

from sam_ft.any_checkpoints import AnyModel
from sam_ft.checks import expect_bool
from sam_ft.prompts.simulation import Decode
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts


@dataclass(frozen=True)
class MemorySettings:
    """Less memory for more time; losses and gradients stay the same.

    Attributes:
        checkpoint_blocks: keep only the input of each block of the image encoder, and compute the block again when
            its gradient is due.
        checkpoint_rounds: keep only prompts and answer of each simulated round, and decode again.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".
    """

    checkpoint_blocks: bool = False
    checkpoint_rounds: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            expect_bool(name, value)

    def set_on(self, model: AnyModel) -> None:
        """Let the image encoder keep or compute again, in place."""
        model.image_encoder.checkpoint_blocks = self.checkpoint_blocks

    def decoder(self, decode: Callable[..., MaskPrediction], embedding: ImageEmbedding) -> Decode:
        """What the simulated rounds of a step call.

        Args:
            decode: the model's, or what stands for it.
            embedding: of the step's images.
        """

        def ask(prompts: Prompts, multimask_output: bool | None) -> MaskPrediction:
            return decode(embedding, prompts, multimask_output=multimask_output)

        def ask_and_forget(prompts: Prompts, multimask_output: bool | None) -> MaskPrediction:
            # The decoder draws no random numbers.
            return checkpoint(ask, prompts, multimask_output, use_reentrant=False, preserve_rng_state=False)

        return ask_and_forget if self.checkpoint_rounds else ask
