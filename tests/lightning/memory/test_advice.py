from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sam_ft.lightning import Recipe, SemanticRecipe
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.memory import advice
from sam_ft.lightning.memory.advice import memory_report, options
from sam_ft.lightning.memory.estimate import Setup, StepMemory
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import sam_paper

MIB = 2**20


@pytest.fixture
def setup(tiny_model: Callable[..., Sam]) -> Setup:
    loader = LoaderSettings(batch_size=4, max_objects=6)
    return Setup(tiny_model(), Recipe(loader=loader, prompts=sam_paper(num_clicks=4)))


@pytest.fixture(autouse=True)
def _by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate of which every term is plain, and which takes no time."""

    def by_formula(setup: Setup) -> StepMemory:
        recipe = setup.recipe
        images = recipe.loader.batch_size * (1 if setup.precision == "32-true" else 0.5)
        objects = (
            images * recipe.loader.max_objects * (1 if recipe.memory.checkpoint_rounds else recipe.prompts.num_rounds)
        )
        encoder = images * (10 if recipe.memory.checkpoint_blocks or setup.change is not None else 100)
        return StepMemory(weights=10 * MIB, optimiser=20 * MIB, encoder=int(encoder * MIB), rounds=int(objects * MIB))

    monkeypatch.setattr(advice, "estimate", by_formula)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how much memory there is, in MiB."""
    return lambda mib: monkeypatch.setattr(
        advice, "room_on", lambda device, num_processes: int(mib * MIB) // num_processes
    )


def test_what_fits_is_one_line_with_its_parts(setup: Setup, room: Callable[[float], None]) -> None:
    room(2**20)
    assert memory_report(setup) == (
        "memory: about 598 MiB a step: 30 MiB weights and optimiser, 400 MiB image encoder, 168 MiB rounds of prompts; "
        "1024.0 GiB are free"
    )


def test_processes_on_one_machine_share_its_memory(setup: Setup, room: Callable[[float], None]) -> None:
    room(1000)
    assert memory_report(setup).endswith("1000 MiB are free")
    shared = memory_report(replace(setup, num_processes=2)).splitlines()
    assert shared[0].endswith("500 MiB are free for each of 2 processes") and shared[1].startswith("This may not fit")


def test_every_option_says_what_it_does(setup: Setup) -> None:
    """Each of them, applied to the settings as its overrides say it."""
    found = {option.overrides: option.apply(setup) for option in options(setup)}
    recipe = setup.recipe
    assert found["memory.checkpoint_blocks=true"].recipe.memory == MemorySettings(checkpoint_blocks=True)
    assert found["memory.checkpoint_rounds=true"].recipe.memory == MemorySettings(checkpoint_rounds=True)
    pieces = found["loader.batch_size=1 trainer.accumulate_grad_batches=4"]
    assert (pieces.recipe.loader.batch_size, pieces.num_batches) == (1, 4)
    assert found["trainer.precision=bf16-mixed"] == replace(setup, precision="bf16-mixed")
    assert found["loader.max_objects=3"].recipe.loader == replace(recipe.loader, max_objects=3)
    assert found["prompts.num_clicks=2"].recipe.prompts == sam_paper(num_clicks=2)
    assert {"adapt=lora", "adapt=decoder"} <= found.keys()


def test_what_is_so_already_is_no_option(setup: Setup) -> None:
    adapt(setup.model, "decoder")
    smallest = Recipe(
        loader=LoaderSettings(batch_size=1, max_objects=1),
        memory=MemorySettings(checkpoint_blocks=True, checkpoint_rounds=True),
        prompts=sam_paper(num_clicks=1, num_mask_only=0),
    )
    assert not list(options(replace(setup, recipe=smallest, precision="bf16-mixed")))


def test_the_first_option_that_is_enough_by_itself_is_named(setup: Setup, room: Callable[[float], None]) -> None:
    room(400)  # of which the tensors may take 280
    assert memory_report(setup).splitlines()[1:] == [
        "This may not fit. What each of these makes of it:",
        "  memory.checkpoint_blocks=true                          238 MiB",
        "  memory.checkpoint_rounds=true                          454 MiB",
        "  loader.batch_size=1 trainer.accumulate_grad_batches=4  172 MiB",
        "  trainer.precision=bf16-mixed                           314 MiB",
        "  loader.max_objects=3                                   514 MiB",
        "  prompts.num_clicks=2                                   550 MiB",
        "  adapt=lora                                             238 MiB",
        "  adapt=decoder                                          238 MiB",
        "Enough: memory.checkpoint_blocks=true, with which it is about 238 MiB.",
    ]


@pytest.mark.parametrize(
    "size, enough",
    [
        (150, "memory.checkpoint_blocks=true memory.checkpoint_rounds=true, with which it is about 94 MiB."),
        (
            70,
            "memory.checkpoint_blocks=true memory.checkpoint_rounds=true loader.batch_size=1 "
            "trainer.accumulate_grad_batches=4, with which it is about 46 MiB.",
        ),
    ],
)
def test_several_options_are_named_where_none_is_enough(
    setup: Setup, room: Callable[[float], None], size: int, enough: str
) -> None:
    room(size)
    assert memory_report(setup).splitlines()[-1] == f"Enough: {enough}"


def test_where_nothing_is_enough_the_report_says_so(setup: Setup, room: Callable[[float], None]) -> None:
    room(1)
    assert memory_report(setup).splitlines()[-1].startswith("All of them together leave about 36 MiB: take a smaller")
    adapt(setup.model, "decoder")
    nothing = memory_report(setup, is_setting=lambda key: key.startswith("adapt")).splitlines()
    assert nothing[1:] == [
        "This may not fit, and no setting makes it much less: take a smaller model or a smaller model.image_size."
    ]


def test_a_setting_that_a_program_does_not_have_is_not_named(setup: Setup, room: Callable[[float], None]) -> None:
    room(1)
    assert "prompts.num_clicks" in memory_report(setup)
    assert "prompts.num_clicks" not in memory_report(setup, is_setting=lambda key: not key.startswith("prompts."))


def test_semantic_segmentation_has_no_prompts_to_save(setup: Setup) -> None:
    recipe = SemanticRecipe(loader=LoaderSettings(batch_size=4))
    found = {
        option.overrides: option.apply(replace(setup, recipe=recipe))
        for option in options(replace(setup, recipe=recipe))
    }
    assert set(found) == {
        "memory.checkpoint_blocks=true",
        "loader.batch_size=1 trainer.accumulate_grad_batches=4",
        "trainer.precision=bf16-mixed",
        *(f"adapt={name}" for name in ("lora", "decoder")),
    }
    blocks = found["memory.checkpoint_blocks=true"].recipe
    assert blocks == replace(recipe, memory=MemorySettings(checkpoint_blocks=True))
