from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from sam_ft.lightning.muon import Muon, orthogonal
from sam_ft.lightning.optim import OptimiserSettings


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4), nn.Linear(4, 4))


def learn(model: nn.Module, optimiser: torch.optim.Optimizer, steps: range = range(5)) -> None:
    for step in steps:
        inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        (model(inputs) - inputs.roll(1, dims=1)[:, :4]).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (2, 20, 5), (1, 1, 7)], ids=str)
def test_directions_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = orthogonal(matrices).float()
    assert result.shape == shape
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6 and values.max() < 1.3
    aligned = torch.einsum("kab,kab->k", result, matrices)  # with the gradient: the sum of its singular values, about
    nuclear = torch.linalg.svdvals(matrices).sum(dim=-1)
    assert (aligned > 0.6 * nuclear).all()


def test_matrices_of_one_shape_are_treated_alone_and_zeros_stay_zeros() -> None:
    matrices = torch.randn(3, 6, 10, generator=torch.Generator().manual_seed(2))
    alone = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonal(matrices), alone, atol=0.02, rtol=0)
    assert not orthogonal(torch.zeros(2, 3, 4)).any()


@pytest.mark.reference
@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_matrices_move_as_by_pytorchs_muon_and_the_rest_as_by_adamw() -> None:
    ours, theirs = network(), network()
    learn(ours, OptimiserSettings(lr=1e-2, muon=2.0, weight_decay=0.1).optimiser(ours))
    matrices = [parameter for parameter in theirs.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in theirs.parameters() if parameter.ndim < 2]
    muon = torch.optim.Muon(matrices, lr=2e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = AdamW(others, lr=1e-2, weight_decay=0.0)

    class Both:
        def zero_grad(self) -> None:
            theirs.zero_grad()

        def step(self) -> None:
            muon.step()
            adamw.step()

    learn(theirs, Both())  # type: ignore[arg-type]
    start = network()
    for (name, mine), yours, before in zip(
        ours.named_parameters(), theirs.parameters(), start.parameters(), strict=True
    ):
        assert not torch.equal(mine, before), name
        torch.testing.assert_close(mine, yours, atol=2e-3, rtol=0, msg=name)


def test_gradients_stay_where_they_were_and_a_closure_is_called_once() -> None:
    model = network()
    optimiser = OptimiserSettings(muon=1.0).optimiser(model)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        loss = model(torch.ones(2, 6)).square().sum()
        loss.backward()
        return loss

    before = [parameter.detach().clone() for parameter in model.parameters()]
    assert optimiser.step(closure) > 0
    assert calls == [True]
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def test_a_saved_state_goes_on_as_if_never_stopped() -> None:
    whole, stopped = network(), network()
    settings = OptimiserSettings(lr=1e-2, muon=2.0)
    learn(whole, settings.optimiser(whole), range(6))
    first = settings.optimiser(stopped)
    learn(stopped, first, range(3))
    state: dict[str, Any] = first.state_dict()
    second = settings.optimiser(stopped)
    second.load_state_dict(state)
    learn(stopped, second, range(3, 6))
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), stopped.parameters(), strict=True))


def test_what_has_no_gradient_stays() -> None:
    model = network()
    optimiser = OptimiserSettings(muon=1.0).optimiser(model)
    optimiser.step()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), network().parameters(), strict=True))


def test_muon_moves_matrices_alone() -> None:
    with pytest.raises(ValueError, match=r"matrices for Muon, .* \(3,\)"):
        Muon([{"params": [nn.Parameter(torch.zeros(3))], "muon": True}], lr=1.0)
    groups = OptimiserSettings(muon=2.0, lr=0.5).optimiser(network()).param_groups
    by_muon = {
        tuple(parameter.shape): group["lr"] for group in groups if group["muon"] for parameter in group["params"]
    }
    assert by_muon == {(16, 6): 1.0, (4, 16): 1.0, (4, 4): 1.0}
    with pytest.raises(ValueError, match="`muon` to be a factor above 0"):
        OptimiserSettings(muon=0.0)
