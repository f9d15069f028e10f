from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sam_ft.lightning.memory.watch import MemoryWatch

KIB = 1024  # bytes of `torch.empty(256)`


def test_what_is_held_and_the_most_that_was_are_counted() -> None:
    with MemoryWatch() as watch:
        kept = torch.empty(256)
        assert (watch.live, watch.peak) == (KIB, KIB)
        gone = torch.empty(2, 256)
        assert (watch.live, watch.peak) == (3 * KIB, 3 * KIB)
        del gone
        assert (watch.live, watch.peak) == (KIB, 3 * KIB)
        watch.restart()
        assert watch.peak == KIB
    del kept
    assert watch.live == 0


def test_views_and_ignored_tensors_take_nothing() -> None:
    weight = torch.ones(256, requires_grad=True)
    with MemoryWatch([weight]) as watch:
        viewed = [weight.view(16, 16), weight.detach(), weight[3:]]
        assert watch.live == 0
        product = weight * 2
        parts = product.chunk(4)
        assert watch.live == KIB
        del product
        assert watch.live == KIB  # held by its parts
    assert len(viewed) + len(parts) == 7


def test_what_is_kept_for_the_gradient_counts_until_it_is_used() -> None:
    weight = torch.ones(256, requires_grad=True)
    with MemoryWatch([weight]) as watch:
        loss = weight.exp().sum()
        assert KIB <= watch.live < 1.1 * KIB
        loss.backward()
        del loss
        assert weight.grad is not None
        assert watch.live == KIB  # the gradient itself
        watch.put_aside(weight.grad)
        watch.put_aside(weight.grad)
        assert watch.live_aside == KIB
        weight.grad = None
        assert (watch.live, watch.live_aside) == (0, 0)


def test_imagined_tensors_count_as_real_ones_do() -> None:
    with FakeTensorMode(), MemoryWatch() as watch:
        huge = torch.empty(1024, 2**40, dtype=torch.uint8)
        assert watch.live == 2**50
        del huge
        assert (watch.live, watch.peak) == (0, 2**50)
