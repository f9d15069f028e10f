"""The estimate against what a real step takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from sam_ft.data.embedding_cache.encoding import row_shapes
from sam_ft.lightning import EmbeddingCacheSettings, Recipe, SemanticRecipe
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.memory.estimate import Setup, estimate
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.memory.watch import MemoryWatch
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.semantic_module import SemanticModule
from sam_ft.losses.recipes import hq_loss
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.adapt.freeze import TrainParts
from sam_ft.models.sam.heads import add_class_head, add_semantic_head
from sam_ft.models.sam.variants import build_model
from sam_ft.prompts.presets import Mixture, box_only, hq, mask_refine, sam2, sam_paper
from sam_ft.types import Batch, ImageEmbedding, Sample

SIZE = 128
NAMES = ("cell", "nucleus", "other")
CACHE = EmbeddingCacheSettings("folder")
BOTH = MemorySettings(checkpoint_blocks=True, checkpoint_rounds=True)


def full_batch(setup: Setup) -> Batch:
    """As many objects on each image as there may be."""
    batch, objects, size = setup.recipe.loader.batch_size, setup.recipe.loader.max_objects, setup.model.image_size
    if isinstance(setup.recipe, SemanticRecipe):
        objects = len(NAMES)
    masks = torch.zeros(batch, objects, size, size, dtype=torch.bool)
    for number in range(objects):
        masks[:, number, 8 * number : 50 + 8 * number, 20:90] = True
    names = tuple(NAMES[number % len(NAMES)] for number in range(objects))
    sample = Sample(torch.zeros(size, size, 3, dtype=torch.uint8), masks[0], names, "bars")
    valid = torch.ones(batch, objects, dtype=torch.bool)
    if setup.recipe.embedding_cache is None:
        return Batch(torch.randn(batch, 3, size, size), masks, valid, (sample,) * batch)
    features, *others = (
        torch.randn(batch, *shape).to(memory_format=torch.channels_last) for shape in row_shapes(setup.model)
    )
    return Batch(None, masks, valid, (sample,) * batch, embedding=ImageEmbedding(features, tuple(others)))


def measured(setup: Setup) -> int:
    """The peak of the second real step, where the optimiser has its averages."""
    recipe = setup.recipe
    shared: Any = {"loss": recipe.loss, "optimiser": recipe.optimiser, "memory": recipe.memory}
    module: SamModule | SemanticModule
    if isinstance(recipe, SemanticRecipe):
        module = SemanticModule(setup.model.train(), **shared)
    else:
        module = SamModule(setup.model.train(), preset=recipe.prompts, **shared)
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    optimiser = recipe.optimiser.optimiser(setup.model)
    autocast: Any = torch.autocast("cpu", torch.bfloat16) if setup.precision == "bf16-mixed" else nullcontext()
    model = sum(tensor.nbytes for tensor in (*setup.model.parameters(), *setup.model.buffers()))
    with MemoryWatch([*setup.model.parameters(), *setup.model.buffers()]) as watch:
        for _ in range(2):
            watch.restart()
            batch = full_batch(setup).to(setup.device)
            with autocast:
                loss = module.training_step(batch, 0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model + watch.peak


def setup_of(change: str = "full", *, precision: str = "32-true", **recipe: Any) -> Setup:
    torch.manual_seed(0)
    model = build_model("vit_tiny", image_size=SIZE)
    adapt(model, change)
    settings: dict[str, Any] = {
        "loader": LoaderSettings(batch_size=2, max_objects=3),
        "prompts": sam_paper(num_clicks=4),
    }
    return Setup(model, Recipe(**settings | recipe), precision=precision)


def with_classes(setup: Setup) -> Setup:
    add_class_head(setup.model, NAMES)
    return setup


def semantic_setup(change: str = "full", **recipe: Any) -> Setup:
    torch.manual_seed(0)
    model = build_model("vit_tiny", image_size=SIZE)
    adapt(model, change)
    add_semantic_head(model, NAMES)
    return Setup(model, SemanticRecipe(**{"loader": LoaderSettings(batch_size=2)} | recipe))


@pytest.mark.parametrize(
    "setup",
    [
        pytest.param(lambda: setup_of(), id="everything learns"),
        pytest.param(lambda: setup_of(memory=MemorySettings(checkpoint_blocks=True)), id="blocks"),
        pytest.param(lambda: setup_of(memory=MemorySettings(checkpoint_rounds=True)), id="rounds"),
        pytest.param(lambda: setup_of(memory=BOTH), id="blocks and rounds"),
        pytest.param(lambda: setup_of(precision="bf16-mixed"), id="bf16-mixed"),
        pytest.param(lambda: setup_of("decoder"), id="decoder"),
        pytest.param(lambda: setup_of("decoder", embedding_cache=CACHE), id="cached"),
        pytest.param(lambda: setup_of("hq", embedding_cache=CACHE), id="HQ-SAM, cached"),
        pytest.param(lambda: semantic_setup("decoder", embedding_cache=CACHE), id="semantic, cached"),
        pytest.param(lambda: setup_of("lora", memory=BOTH), id="LoRA"),
        pytest.param(lambda: setup_of(prompts=box_only()), id="one round"),
        pytest.param(lambda: setup_of(prompts=sam2(), loss=hq_loss()), id="points"),
        pytest.param(lambda: setup_of("hq", prompts=hq(), loss=hq_loss()), id="HQ-SAM"),
        pytest.param(lambda: setup_of("hq", memory=BOTH), id="HQ-SAM, blocks and rounds"),
        pytest.param(lambda: setup_of(prompts=mask_refine(fewest_clicks=None)), id="masks first"),
        pytest.param(lambda: with_classes(setup_of()), id="classes"),
        pytest.param(lambda: with_classes(setup_of("hq", memory=BOTH)), id="HQ-SAM with classes"),
        pytest.param(lambda: semantic_setup(), id="semantic"),
        pytest.param(lambda: semantic_setup(memory=MemorySettings(checkpoint_blocks=True)), id="semantic, blocks"),
        pytest.param(lambda: semantic_setup("lora"), id="semantic, LoRA"),
    ],
)
def test_the_estimate_is_within_a_tenth_of_a_real_step(setup: Callable[[], Setup]) -> None:
    given = setup()
    assert estimate(given).total == pytest.approx(measured(given), rel=0.1)


def test_without_an_encoder_that_runs_a_step_takes_less() -> None:
    running, cached = (estimate(setup_of("decoder", embedding_cache=each)) for each in (None, CACHE))
    assert cached.encoder < running.encoder and cached.rounds == running.rounds


def test_the_parts_are_those_of_their_names() -> None:
    plain, averaged = setup_of(), setup_of(optimiser=OptimiserSettings(ema=0.99))
    model = sum(tensor.nbytes for tensor in (*plain.model.parameters(), *plain.model.buffers()))
    assert estimate(plain).weights == model
    assert estimate(averaged).weights == 2 * model
    trained = sum(parameter.nbytes for parameter in plain.model.parameters())
    assert 2 * trained <= estimate(plain).optimiser <= 3 * trained
    assert estimate(replace(plain, num_batches=2)).optimiser == 3 * trained  # gradients are there from the start


def test_memory_grows_evenly_with_images_and_objects() -> None:
    def rounds(batch_size: int, max_objects: int) -> int:
        loader = LoaderSettings(batch_size=batch_size, max_objects=max_objects)
        return estimate(setup_of(loader=loader)).rounds

    assert rounds(2, 4) == pytest.approx(2 * rounds(1, 4), rel=0.05)
    assert rounds(1, 6) - rounds(1, 4) == pytest.approx(rounds(1, 4) - rounds(1, 2), rel=0.1)


def test_of_a_mixture_the_longest_preset_counts() -> None:
    short, long = box_only(), sam_paper(num_clicks=4)
    mixture = Mixture(presets={"short": short, "long": long}, weights={"short": 1.0, "long": 1.0})
    assert estimate(setup_of(prompts=mixture)) == estimate(setup_of(prompts=long))


def test_a_change_is_estimated_without_touching_the_model() -> None:
    setup = setup_of()
    changed = estimate(replace(setup, change=TrainParts(("mask_decoder",))))
    assert changed == estimate(setup_of("decoder"))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in setup.model.parameters())


@pytest.mark.parametrize("of", [lambda change: with_classes(setup_of(change)), semantic_setup])
def test_a_change_lets_the_head_of_the_task_learn_on(of: Callable[[str], Setup]) -> None:
    setup = of("full")
    changed = estimate(replace(setup, change=TrainParts(("mask_decoder",))))
    decoder = of("full").model
    adapt(decoder, "decoder")
    (add_semantic_head if decoder.pixel_class_names else add_class_head)(decoder, NAMES)
    assert changed == estimate(replace(setup, model=decoder))


def test_no_memory_is_needed_for_the_largest_model() -> None:
    """Nor weights: this one has none."""
    with torch.device("meta"):
        model = build_model("vit_h")
    memory = estimate(Setup(model, Recipe(loader=LoaderSettings(batch_size=64))))
    assert memory.total > 500 * 2**30


@pytest.mark.gpu
@pytest.mark.parametrize("memory", [MemorySettings(), BOTH], ids=str)
def test_on_a_gpu_the_estimate_is_within_a_fifth_of_what_is_allocated(memory: MemorySettings) -> None:
    setup = replace(large_setup(), device=torch.device("cuda"))
    setup = replace(setup, recipe=replace(setup.recipe, memory=memory))
    setup.model.cuda()
    torch.cuda.reset_peak_memory_stats()
    measured(setup)
    assert estimate(setup).total == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.2)


GROWTH = """
import resource, sys, runpy
module = runpy.run_path(sys.argv[1])
setup = module["large_setup"]()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
module["measured"](setup)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def large_setup() -> Setup:
    """One whose tensors take far more than what libraries take when they are first called."""
    loader = LoaderSettings(batch_size=4, max_objects=8)
    return Setup(build_model("vit_tiny", image_size=384), Recipe(loader=loader, prompts=sam_paper(num_clicks=2)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sets how glibc allocates")
def test_a_process_grows_by_what_the_estimate_says() -> None:
    """As the system tells it; glibc gives freed memory back at once here, else its gaps add a third."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", GROWTH, __file__]
    grown = int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    memory = estimate(large_setup())
    assert grown == pytest.approx(memory.total - memory.weights, rel=0.15)
