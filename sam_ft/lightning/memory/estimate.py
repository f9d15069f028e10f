"""How much memory a training step takes, before there is one.

The step is run on imagined tensors, which have a shape, a type and a device but no content, so that the same kernels
are chosen and nothing is allocated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sam_ft.any_checkpoints import AnyModel
from sam_ft.data.embedding_cache.encoding import row_shapes
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.decoding import imagined_pixels, imagined_rounds
from sam_ft.lightning.memory.watch import MemoryWatch
from sam_ft.lightning.precision import autocast_dtype
from sam_ft.lightning.semantic_fitting import SemanticRecipe
from sam_ft.models.sam.heads import add_class_head, add_semantic_head
from sam_ft.models.sam.model import Sam
from sam_ft.types import ImageEmbedding


@dataclass(frozen=True)
class StepMemory:
    """Bytes on one device at the moment of a training step when they are most."""

    weights: int  # the model, and their average where there is one
    optimiser: int  # AdamW's averages, and the gradients that are there at that moment
    encoder: int  # what the image encoder keeps and is working on; the images
    rounds: int  # what the simulated rounds, or the classes of the pixels, keep and are working on

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.optimiser + self.encoder + self.rounds


@dataclass(frozen=True)
class Setup:
    """What the memory of a step depends on.

    Attributes:
        model: what is trained.
        recipe: how.
        precision: of Lightning's Trainer, such as `32-true` or `bf16-mixed`.
        device: where.
        num_batches: of which a step is made.
        num_processes: that share the memory of a CPU.
        change: what would be done to a SAM before; done to a copy.
    """

    model: AnyModel
    recipe: Recipe | SemanticRecipe
    precision: str = "32-true"
    device: torch.device = torch.device("cpu")
    num_batches: int = 1
    num_processes: int = 1
    change: Callable[[Sam], None] | None = None


def estimate(setup: Setup) -> StepMemory:
    """The memory of a step with the largest batch: `max_objects` on every image, all rounds of the preset.

    In semantic segmentation there are no rounds; each image has an object of each class.

    Compiled steps (`compile=true`) take about as much or less. Not included: what the device itself needs, what
    kernels take inside one operation, and copies of the gradients that several devices exchange.
    """
    model = without_content(setup.model, "meta")
    if setup.change is not None and isinstance(model, Sam):
        setup.change(model)
        _let_heads_learn(model)
    setup.recipe.memory.set_on(model)
    with FakeTensorMode():
        model = without_content(model, setup.device).train()
        tensors = [*model.parameters(), *model.buffers()]
        phases = _Step(setup, model, MemoryWatch(tensors)).run()
    weights = sum(tensor.nbytes for tensor in tensors)
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    phases.append(StepMemory(weights=0, optimiser=trained, encoder=0, rounds=0))  # when the optimiser makes its step
    most = max(phases, key=lambda phase: phase.total)
    return StepMemory(
        weights=weights * (1 if setup.recipe.optimiser.ema is None else 2),
        optimiser=2 * trained + most.optimiser,
        encoder=most.encoder,
        rounds=most.rounds,
    )


def without_content(model: AnyModel, device: torch.device | str) -> AnyModel:
    """A copy of a model with other tensors in place of its weights, which are not read."""
    copies: dict[int, Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        copies[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(model, copies)  # type: ignore[arg-type]


def _let_heads_learn(model: Sam) -> None:
    """Once more, after a change that does not know them."""
    if model.class_names:
        add_class_head(model, model.class_names)
    if model.pixel_class_names:
        add_semantic_head(model, model.pixel_class_names)


class _Step:
    """One imagined training step; `phases` are those in which its memory may be at its peak, without the weights."""

    def __init__(self, setup: Setup, model: AnyModel, watch: MemoryWatch) -> None:
        self.setup = setup
        self.model = model
        self.watch = watch
        self.phases: list[StepMemory] = []
        self._kept_by_encoder = 0

    def run(self) -> list[StepMemory]:
        """Forward and backward."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        with self.watch:
            for parameter in trained:
                parameter.register_post_accumulate_grad_hook(self._put_gradient_aside)
                parameter.grad = torch.zeros_like(parameter)  # of the step or batch before
                self._put_gradient_aside(parameter)
            batch, size, device = self.setup.recipe.loader.batch_size, self.model.image_size, self.setup.device
            cached = self.setup.recipe.embedding_cache is not None
            images = None if cached else torch.empty(batch, 3, size, size, device=device)
            truth = torch.empty(batch, self._num_objects(), size, size, dtype=torch.bool, device=device)
            loss = self._loss(images, truth)
            if self.setup.num_batches == 1:  # not before: Lightning forgets gradients when the next ones are due
                for parameter in trained:
                    parameter.grad = None
            with torch.autograd.set_multithreading_enabled(False):  # in another thread nobody watches
                loss.backward()
        learns = any(parameter.requires_grad for parameter in self.model.image_encoder.parameters())
        self._end_phase(in_encoder=learns)
        return self.phases

    def _embedding(self, images: Tensor | None) -> ImageEmbedding:
        """Of a batch of images; without these as it comes from a cache."""
        if images is not None:
            return self.model.encode_image(images)
        batch, device = self.setup.recipe.loader.batch_size, self.setup.device
        features, *others = (
            torch.empty(batch, *shape, device=device).to(memory_format=torch.channels_last)
            for shape in row_shapes(cast(Sam, self.model))  # a U-Net has no cache
        )
        return ImageEmbedding(features=features, high_resolution=tuple(others))

    def _loss(self, images: Tensor | None, truth: Tensor) -> Tensor:
        with _autocast(self.setup):
            embedding = self._embedding(images)
            self._end_phase(in_encoder=True)
            self._kept_by_encoder = self.watch.live - self.watch.live_aside
            if embedding.features.requires_grad:  # its gradient is complete when that of all rounds is
                embedding.features.register_hook(lambda _: self._end_phase(in_encoder=False))
            if isinstance(self.setup.recipe, Recipe):
                sam = cast(Sam, self.model)  # nothing else takes prompts
                return imagined_rounds(self.setup.recipe, sam, embedding, truth=truth)
            return imagined_pixels(self.setup.recipe, self.model, embedding)

    def _num_objects(self) -> int:
        """On each image; in semantic segmentation one of each class."""
        if isinstance(self.setup.recipe, Recipe):
            return self.setup.recipe.loader.max_objects
        return len(self.model.pixel_class_names) - 1

    def _put_gradient_aside(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self.watch.put_aside(parameter.grad)

    def _end_phase(self, *, in_encoder: bool) -> None:
        """Note the peak since the last phase."""
        others = self.watch.peak - self.watch.peak_aside
        rounds = 0 if in_encoder else others - self._kept_by_encoder
        encoder = others if in_encoder else self._kept_by_encoder
        self.phases.append(StepMemory(weights=0, optimiser=self.watch.peak_aside, encoder=encoder, rounds=rounds))
        self.watch.restart()


def _autocast(setup: Setup) -> AbstractContextManager[object]:
    """As Lightning's trainer does for a precision."""
    dtype = autocast_dtype(setup.precision)
    return nullcontext() if dtype is None else torch.autocast(setup.device.type, dtype=dtype)
