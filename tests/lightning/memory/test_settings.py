"""Checkpointing changes what is kept, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from sam_ft.data.collation import Prepare, collate
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.recipes import sam_loss
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.adapt.lora import Lora
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import sam_paper
from sam_ft.types import Batch

BOTH = MemorySettings(checkpoint_blocks=True, checkpoint_rounds=True)
Change = Callable[[Sam], None]


def drop_path(model: Sam) -> None:
    model.image_encoder.set_drop_path(0.5)


def lora_with_dropout(model: Sam) -> None:
    Lora(rank=2, dropout=0.5)(model)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)  # else an update is zero, whatever dropout does


def nothing_of_the_encoder(model: Sam) -> None:
    adapt(model, "decoder")


@pytest.fixture
def batch(samples: Synthetic) -> Batch:
    return collate([Prepare(64)(sample) for sample in samples])


def module_of(model: Sam, memory: MemorySettings) -> SamModule:
    module = SamModule(
        model,
        preset=sam_paper(num_clicks=2, num_mask_only=1),
        loss=sam_loss(),
        optimiser=OptimiserSettings(),
        memory=memory,
    )
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    return module.train()


@contextmanager
def kept_bytes() -> Iterator[Callable[[], int]]:
    """What the forward pass inside keeps for the gradient, parameters included."""
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(sizes.values())


def step(module: SamModule, batch: Batch) -> tuple[Tensor, dict[str, Tensor], int]:
    """Loss, gradients and bytes kept of a step, with a global generator that has moved on before the backward pass."""
    with kept_bytes() as count:
        loss = module.training_step(batch, 0)
        kept = count()
    torch.rand(7)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in module.named_parameters() if p.grad is not None}, kept


@pytest.mark.parametrize("change", [None, drop_path, lora_with_dropout, nothing_of_the_encoder])
@pytest.mark.parametrize(
    "memory", [MemorySettings(checkpoint_blocks=True), MemorySettings(checkpoint_rounds=True), BOTH], ids=str
)
def test_losses_and_gradients_are_the_same_with_checkpointing(
    tiny_model: Callable[..., Sam], batch: Batch, change: Change | None, memory: MemorySettings
) -> None:
    results = []
    for settings in (MemorySettings(), memory):
        torch.manual_seed(0)
        model = tiny_model()
        if change is not None:
            change(model)
        results.append(step(module_of(model, settings), batch))
    (loss, gradients, _), (checkpointed_loss, checkpointed, _) = results
    torch.testing.assert_close(checkpointed_loss, loss, rtol=1e-6, atol=0)
    assert checkpointed.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-6, atol=1e-6, msg=name)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


def test_each_kind_of_checkpointing_keeps_fewer_bytes(tiny_model: Callable[..., Sam], batch: Batch) -> None:
    def kept(**settings: bool) -> int:
        return step(module_of(tiny_model(), MemorySettings(**settings)), batch)[2]

    everything = kept()
    blocks, rounds = kept(checkpoint_blocks=True), kept(checkpoint_rounds=True)
    both = kept(checkpoint_blocks=True, checkpoint_rounds=True)
    assert both < min(blocks, rounds) < max(blocks, rounds) < everything
    assert everything - both == pytest.approx(2 * everything - blocks - rounds)  # each saves its own
    assert both < everything / 4


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="checkpoint_blocks"):
        MemorySettings(checkpoint_blocks=value)
