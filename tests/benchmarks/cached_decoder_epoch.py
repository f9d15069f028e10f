"""An epoch of decoder-only training from the embedding cache against one that runs the frozen encoder in every step.

`vit_b` at 1024 px with random weights: MedSAM's way, one object an image asked for by its box, where the encoder is
nearly all of the work; and SAM's way, 16 objects an image in 11 rounds, where the decoder is most of it. The cache is
filled before: its cost is that of one epoch.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
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


def rows() -> list[Row]:
    torch.manual_seed(0)
    module = SamModule(build_model("vit_b"), preset=box_only(), loss=sam_loss(), optimiser=OptimiserSettings())
    adapt(module.model, "decoder")
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    with tempfile.TemporaryDirectory() as folder:
        return [
            _row("cached_decoder_epoch", module, box_only(), num_objects=1, at_least=10, folder=folder),
            _row(
                "cached_decoder_epoch/16 objects, 11 rounds",
                module,
                sam_paper(),
                num_objects=16,
                at_least=1,
                folder=folder,
            ),
        ]


def _row(name: str, module: SamModule, preset: PromptPreset, *, num_objects: int, at_least: float, folder: str) -> Row:
    module.preset = preset
    samples = [_image(index, num_objects) for index in range(2)]
    data = SamDataModule(
        DataSplits(train=samples, val=samples),
        image_size=1024,
        settings=LoaderSettings(batch_size=1, augment="none"),
    )
    cached = SamDataModule(
        data.splits, image_size=1024, settings=data.settings, embedding_cache=EmbeddingCacheSettings(Path(folder))
    )
    cached.fill_embedding_cache(module.model, device=torch.device("cpu"), precision="32-true")
    return compare(
        name,
        ours=_epoch(module, cached),
        peer=_epoch(module, data),
        peer_name="the encoder in every step",
        agree=lambda ours, peer: bool(np.allclose(ours, peer, rtol=0, atol=LOSS_TOLERANCE)) and len(ours) == 2,
        at_least=at_least,
        timing=Timing(rounds=2, items=len(samples), unit="s"),
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
