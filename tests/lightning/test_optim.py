from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.schedules import Cosine, Steps
from sam_ft.models.adapt.choices import ADAPT, adapt
from sam_ft.models.sam.model import Sam


def test_the_learning_rate_rises_in_equal_steps_and_starts_above_zero() -> None:
    settings = OptimiserSettings(warmup=0.5)
    assert [settings.lr_factor(step, 8) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_learning_rate_falls_along_a_cosine_to_its_last_share() -> None:
    settings = OptimiserSettings(warmup=0.0, schedule=Cosine(final_lr=0.2))
    assert [settings.lr_factor(step, 4) for step in (0, 2, 4)] == pytest.approx([1.0, 0.6, 0.2])
    assert settings.lr_factor(1, 4) == pytest.approx(0.2 + 0.8 * 0.5 * (1 + 0.5**0.5))


def test_steps_beyond_the_last_keep_the_last_share() -> None:
    assert OptimiserSettings(schedule=Cosine(final_lr=0.1)).lr_factor(500, 100) == pytest.approx(0.1)


@pytest.mark.parametrize("num_steps", [1, 2])
def test_the_shortest_trainings_learn_in_every_step(num_steps: int) -> None:
    settings = OptimiserSettings(warmup=0.9)
    assert all(settings.lr_factor(step, num_steps) > 0 for step in range(num_steps))


def test_the_schedule_sets_the_learning_rate_of_every_group() -> None:
    settings = OptimiserSettings(lr=0.5, warmup=0.0)
    optimiser = settings.optimiser(nn.Linear(2, 2))
    schedule = settings.scheduler(optimiser, 2)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.5]
    optimiser.step()
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("how", ADAPT)
def test_every_trained_parameter_reaches_the_optimiser_exactly_once(tiny_model: Callable[..., Sam], how: str) -> None:
    model = tiny_model()
    adapt(model, how)
    groups = OptimiserSettings().optimiser(model).param_groups
    given = Counter(id(parameter) for group in groups for parameter in group["params"])
    assert given == Counter(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
    assert set(given.values()) == {1}


@pytest.mark.parametrize("how", ADAPT)
def test_one_step_moves_what_is_trained_and_nothing_else(tiny_model: Callable[..., Sam], how: str) -> None:
    model = tiny_model()
    adapt(model, how)
    settings = OptimiserSettings(lr_factors={"image_encoder": 0.1, "mask_decoder": 2.0}, layer_decay=0.8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    settings.optimiser(model).step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    decay = {
        id(parameter): group["weight_decay"]
        for group in OptimiserSettings(weight_decay=0.3).optimiser(model).param_groups
        for parameter in group["params"]
    }
    expected = {"0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}
    assert {name: decay[id(parameter)] for name, parameter in model.named_parameters()} == expected


def test_a_model_without_anything_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        OptimiserSettings().optimiser(nn.Linear(2, 2).requires_grad_(False))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"warmup": 1.0},
        {"warmup": -0.1},
        {"warmup": -3},
        {"betas": (0.9, 1.0)},
        {"ema": 1.0},
        {"ema": 0.0},
        {"weight_decay": -1.0},
        {"layer_decay": 0.0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimiserSettings(**wrong)


def test_the_papers_schedule_is_a_tenth_at_two_thirds_and_near_the_end() -> None:
    settings = OptimiserSettings(lr=8e-4, warmup=250, schedule=Steps())
    factors = {step: settings.lr_factor(step, 90_000) for step in (0, 249, 250, 59_000, 61_000, 86_000, 87_000)}
    assert list(factors.values()) == pytest.approx([1 / 251, 250 / 251, 1, 1, 0.1, 0.1, 0.01])


def test_a_warmup_can_be_counted_in_steps() -> None:
    settings = OptimiserSettings(warmup=3)
    assert [settings.lr_factor(step, 1000) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert OptimiserSettings(warmup=0).lr_factor(0, 10) == 1.0
    assert OptimiserSettings(warmup=50).lr_factor(9, 10) == pytest.approx(10 / 51)  # longer than the run


def test_a_step_with_a_zero_gradient_shrinks_weights_alone() -> None:
    model = nn.Linear(2, 2)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser = OptimiserSettings(lr=0.1, weight_decay=0.5).optimiser(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(model.weight.detach(), before["weight"] * 0.95)
    torch.testing.assert_close(model.bias.detach(), before["bias"])
