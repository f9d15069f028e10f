"""An epoch of decoder-only training from the embedding cache against one that runs the frozen encoder in every step.

`vit_b` at 1024 px with random weights: MedSAM's way, one object an image asked for by its box, where the encoder is
nearly all of the work; and SAM's way, 16 objects an image in 11 rounds, where the decoder is most of it. The cache is
filled before: its cost is that of one epoch.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sam_ft.data.splits import DataSplits
from sam_ft.lightning import EmbeddingCacheSettings
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.recipes import sam_loss
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.sam.variants import build_model
from sam_ft.prompts.presets import PromptPreset, box_only, sam_paper
from sam_ft.types import Sample
from tests.benchmarks.comparing import Row, Timing, compare

LOSS_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """How the decoder is taught, and how often the comparison is made."""

    name: str
    preset: PromptPreset
    num_objects: int
    num_images: int
    rounds: int
    at_least: float


CASES = (
    Case("cached_decoder_epoch", box_only(), num_objects=1, num_images=2, rounds=3, at_least=10),
    Case("cached_decoder_epoch/16 objects, 11 rounds", sam_paper(), num_objects=16, num_images=1, rounds=1, at_least=1),
)


def rows() -> list[Row]:
    torch.manual_seed(0)
    module = SamModule(build_model("vit_b"), preset=box_only(), loss=sam_loss(), optimiser=OptimiserSettings())
    adapt(module.model, "decoder")
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    with tempfile.TemporaryDirectory() as folder:
        return [_row(case, module, EmbeddingCacheSettings(Path(folder))) for case in CASES]


def _row(case: Case, module: SamModule, settings: EmbeddingCacheSettings) -> Row:
    module.preset = case.preset
    samples = [_image(index, case.num_objects) for index in range(case.num_images)]
    splits, loader = DataSplits(train=samples, val=samples), LoaderSettings(batch_size=1, augment="none")
    data = SamDataModule(splits, image_size=1024, settings=loader)
    cached = SamDataModule(splits, image_size=1024, settings=loader, embedding_cache=settings)
    cached.fill_embedding_cache(module.model, device=torch.device("cpu"), precision="32-true")
    return compare(
        case.name,
        ours=_epoch(module, cached),
        peer=_epoch(module, data),
        peer_name="the encoder in every step",
        agree=lambda ours, peer: len(ours) == case.num_images and np.allclose(ours, peer, rtol=0, atol=LOSS_TOLERANCE),
        at_least=case.at_least,
        timing=Timing(rounds=case.rounds, items=case.num_images, unit="s"),
    )


def _epoch(module: SamModule, data: SamDataModule) -> Callable[[], list[float]]:
    """One that always starts with the same weights; it returns the loss of each step."""
    start = copy.deepcopy(module.model.mask_decoder.state_dict())

    def epoch() -> list[float]:
        module.model.mask_decoder.load_state_dict(start)
        optimiser = module.optimiser_settings.optimiser(module.model.train())
        losses = []
        for index, batch in enumerate(data.train_dataloader()):
            optimiser.zero_grad()
            loss = module.training_step(batch, index)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses

    return epoch


def _image(index: int, num_objects: int) -> Sample:
    """Bright squares on noise."""
    random = np.random.default_rng(index)
    image = torch.from_numpy(random.integers(0, 90, (512, 512, 3)).astype(np.uint8))
    masks = torch.zeros(num_objects, 512, 512, dtype=torch.bool)
    for number, mask in enumerate(masks):
        y, x = 128 * (number // 4) + 20, 128 * (number % 4) + 20
        mask[y : y + 80, x : x + 70] = True
        image[mask] += 120
    return Sample(image=image, masks=masks, class_names=("square",) * num_objects, name=f"squares_{index}")
