"""Whether a training step fits into the memory of its device, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

from sam_ft.files import as_text
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.estimate import Setup, StepMemory, estimate
from sam_ft.lightning.memory.room import room_on
from sam_ft.models.adapt.choices import ADAPT
from sam_ft.models.adapt.lora import has_lora
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import InteractivePreset

_USABLE = {"cuda": 0.9, "cpu": 0.7}
"""Share of the memory that a step's tensors may take; the rest is for the device itself, libraries and gaps.

Measured on Linux: a training on the CPU grows by 1.3 to 1.4 times its tensors, since glibc keeps gaps."""
_NOTICEABLE = 0.98
"""What lowers the memory to no less than this share of it is not worth telling."""


@dataclass(frozen=True)
class Option:
    """Overrides that may take less memory, and what they make of a setup."""

    overrides: str
    apply: Callable[[Setup], Setup]


def memory_report(setup: Setup, *, is_setting: Callable[[str], bool] = lambda key: True) -> str:
    """One line on the memory of a step; where it will not fit, further lines on what would.

    Args:
        setup: the training.
        is_setting: whether a program has a setting of a name such as `prompts.num_clicks`.
    """
    now, room = estimate(setup), room_on(setup.device, num_processes=setup.num_processes)
    each = f" for each of {setup.num_processes} processes" if setup.num_processes > 1 else ""
    free = "" if room is None else f"; {as_text(room)} are free{each}"
    parts = {
        "weights and optimiser": now.weights + now.optimiser,
        "image encoder": now.encoder,
        "rounds of prompts" if isinstance(setup.recipe, Recipe) else "classes of pixels": now.rounds,
    }
    listed = ", ".join(f"{as_text(size)} {name}" for name, size in parts.items())
    line = f"memory: about {as_text(now.total)} a step: {listed}{free}"
    if room is None or _fits(now, setup, room):
        return line
    return "\n".join([line, *_advice(setup, now, room=room, is_setting=is_setting)])


def options(setup: Setup) -> Iterator[Option]:
    """What may be changed, beginning with what leaves the results as they are."""
    memory, loader = setup.recipe.memory, setup.recipe.loader
    for name in ("checkpoint_blocks", *(["checkpoint_rounds"] if isinstance(setup.recipe, Recipe) else [])):
        if not getattr(memory, name):
            yield Option(f"memory.{name}=true", lambda given, name=name: _with(given, "memory", **{name: True}))  # type: ignore[misc]
    if loader.batch_size > 1:
        accumulated = loader.batch_size * setup.num_batches
        yield Option(
            f"loader.batch_size=1 trainer.accumulate_grad_batches={accumulated}",
            lambda given: replace(_with(given, "loader", batch_size=1), num_batches=accumulated),
        )
    if "16" not in setup.precision:
        yield Option("trainer.precision=bf16-mixed", lambda given: replace(given, precision="bf16-mixed"))
    if isinstance(setup.recipe, Recipe):
        yield from _fewer_prompts(setup.recipe)
    if setup.change is None and _trains_whole_encoder(setup):
        names = ["lora", "decoder"] if find_spec("peft") else ["decoder"]
        for name in names:
            yield Option(f"adapt={name}", lambda given, name=name: replace(given, change=ADAPT[name]))  # type: ignore[misc]


def _fewer_prompts(recipe: Recipe) -> Iterator[Option]:
    preset = recipe.prompts
    if (fewer := recipe.loader.max_objects // 2) > 0:
        yield Option(f"loader.max_objects={fewer}", lambda given: _with(given, "loader", max_objects=fewer))
    if isinstance(preset, InteractivePreset) and (clicks := preset.rounds.num_clicks // 2) > 0:
        fewest = None if preset.rounds.fewest_clicks is None else min(preset.rounds.fewest_clicks, clicks)
        shorter = replace(preset, rounds=replace(preset.rounds, num_clicks=clicks, fewest_clicks=fewest))
        yield Option(
            f"prompts.num_clicks={clicks}",
            lambda given: replace(given, recipe=replace(given.recipe, prompts=shorter)),  # type: ignore[arg-type]
        )


def _advice(setup: Setup, now: StepMemory, *, room: int, is_setting: Callable[[str], bool]) -> Iterator[str]:
    """What each option makes of it, and which of them are enough."""
    known = [each for each in options(setup) if all(is_setting(key) for key in _keys(each))]
    alone = [(each, estimate(each.apply(setup))) for each in known]
    helpful = [(each.overrides, left) for each, left in alone if left.total < _NOTICEABLE * now.total]
    if not helpful:
        yield "This may not fit, and no setting makes it much less: take a smaller model or a smaller model.image_size."
        return
    yield "This may not fit. What each of these makes of it:"
    width = max(len(overrides) for overrides, _ in helpful)
    yield from (f"  {overrides:<{width}}  {as_text(left.total)}" for overrides, left in helpful)
    enough = next((([overrides], left) for overrides, left in helpful if _fits(left, setup, room)), None)
    chosen, left = enough or _together(setup, now, known, room=room)
    if _fits(left, setup, room):
        yield f"Enough: {' '.join(chosen)}, with which it is about {as_text(left.total)}."
    else:
        yield f"All of them together leave about {as_text(left.total)}: take a smaller model or model.image_size too."


def _together(setup: Setup, now: StepMemory, known: list[Option], *, room: int) -> tuple[list[str], StepMemory]:
    """The overrides of the first options that are enough together, or of all that help, and what they leave."""
    chosen: dict[str, str] = {}  # by their first setting: of two values for one the later is taken
    for each in known:
        changed = each.apply(setup)
        if (tried := estimate(changed)).total < _NOTICEABLE * now.total:
            chosen[_keys(each)[0]], setup, now = each.overrides, changed, tried
        if _fits(now, setup, room):
            break
    return list(chosen.values()), now


def _keys(option: Option) -> list[str]:
    return [override.partition("=")[0] for override in option.overrides.split()]


def _fits(memory: StepMemory, setup: Setup, room: int) -> bool:
    return memory.total <= _USABLE[setup.device.type] * room


def _with(setup: Setup, part: str, **changes: object) -> Setup:
    changed = replace(getattr(setup.recipe, part), **changes)
    return replace(setup, recipe=replace(setup.recipe, **{part: changed}))  # type: ignore[arg-type]


def _trains_whole_encoder(setup: Setup) -> bool:
    """Whether a part of a SAM could learn instead."""
    if not isinstance(setup.model, Sam) or has_lora(setup.model):
        return False
    return all(parameter.requires_grad for parameter in setup.model.image_encoder.parameters())
