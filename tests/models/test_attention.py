from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sam_ft.models.attention import attend

VISIBLE = torch.tensor([[True, True, False, True, False, True, True]] * 5)
"""Which of 7 keys each of 5 queries sees."""


@pytest.mark.parametrize("mask", [None, VISIBLE, torch.linspace(-2, 2, 35).view(5, 7)], ids=["none", "bool", "added"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_and_its_gradients_are_those_of_pytorch_in_32_bits(
    dtype: torch.dtype, mask: torch.Tensor | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    exact = [torch.randn(2, 3, length, 8, generator=generator, requires_grad=True) for length in (5, 7, 7)]
    given = [each.detach().to(dtype).requires_grad_() for each in exact]
    added = mask if mask is None or mask.dtype == torch.bool else mask.to(dtype)
    expected = F.scaled_dot_product_attention(*exact, attn_mask=mask)
    result = attend(*given, mask=added)
    assert result.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(result.float(), expected, atol=tolerance, rtol=0)
    weights = torch.randn(expected.shape, generator=generator)
    (expected * weights).sum().backward()
    (result.float() * weights).sum().backward()
    for ours, theirs in zip(given, exact, strict=True):
        torch.testing.assert_close(ours.grad.float(), theirs.grad, atol=2 * tolerance, rtol=0)
