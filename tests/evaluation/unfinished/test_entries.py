from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from sam_ft.evaluation.unfinished.entries import from_json, to_json
from sam_ft.metrics.average_precision import Matches


@dataclass(frozen=True)
class Inner:
    numbers: tuple[float, ...]
    box: tuple[int, float] | None
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    several: list[Inner]
    by_size: Mapping[str, Inner]


def and_back(kind: Any, value: object) -> Any:
    return from_json(kind, json.loads(json.dumps(to_json(value))))


def test_nested_dataclasses_come_back_exactly() -> None:
    inner = Inner((0.1 + 0.2, 1 / 3, float("inf")), (3, 0.5), "a")
    outer = Outer([inner, Inner((), None)], {"small": inner})
    assert and_back(Outer, outer) == outer
    assert and_back(list[Outer], [outer, outer]) == [outer, outer]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([[True, False], [False, False]]),
        torch.tensor([0.1, 1 / 3]),
        torch.tensor([[2**40, -1]]),
        torch.zeros(0, 3, dtype=torch.int64),
        torch.arange(6, dtype=torch.uint8).view(2, 3).T,
    ],
)
def test_a_tensor_comes_back_with_its_type_and_shape(tensor: Tensor) -> None:
    back = and_back(Tensor, tensor)
    assert back.dtype == tensor.dtype and back.shape == tensor.shape and torch.equal(back, tensor)
    back.add_(back)  # may be written to


def test_matches_come_back() -> None:
    hits = torch.rand(10, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    back = and_back(Matches, Matches(torch.rand(7), hits, ~hits, num_objects=3))
    assert torch.equal(back.hits, hits) and torch.equal(back.excused, ~hits) and back.num_objects == 3


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError):
        json.dumps(to_json(Inner((1 + 2j,), None)))  # type: ignore[arg-type]
