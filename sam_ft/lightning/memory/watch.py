"""How many bytes tensors take, from moment to moment."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class MemoryWatch(TorchDispatchMode):
    """Counts the storage of every tensor that is made while this is active, until nobody holds it any more.

    Works for real tensors and for the imagined ones of `FakeTensorMode`, which have a size and no content. What a
    kernel takes and gives back inside one operation is not seen.

    Args:
        ignored: tensors that are there already and do not count, such as a model's parameters.

    Attributes:
        live: bytes that are held now.
        peak: the most that were held at once since the last `restart`.
        live_aside: the part of `live` that was put aside.
        peak_aside: the part of `peak` that was put aside.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = self.peak = self.live_aside = self.peak_aside = 0
        self._sizes: dict[int, int] = {}  # of storages by their id
        self._aside: set[int] = set()
        self._references: dict[int, weakref.ref[Any]] = {}
        for tensor in ignored:
            self._know(tensor, size=0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and look at what it gives."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and id(leaf.untyped_storage()) not in self._sizes:
                self._know(leaf, size=leaf.untyped_storage().nbytes())
        return result

    def put_aside(self, tensor: Tensor) -> None:
        """Count a tensor apart from the others too."""
        key = id(tensor.untyped_storage())
        if key not in self._aside:
            self._aside.add(key)
            self.live_aside += self._sizes[key]

    def restart(self) -> None:
        """Begin a new peak with what is held now."""
        self.peak, self.peak_aside = self.live, self.live_aside

    def _know(self, tensor: Tensor, *, size: int) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        self._sizes[key] = size
        self._references[key] = weakref.ref(storage, lambda _: self._forget(key))
        self.live += size
        if self.live > self.peak:
            self.restart()

    def _forget(self, key: int) -> None:
        size = self._sizes.pop(key)
        del self._references[key]
        self.live -= size
        if key in self._aside:
            self._aside.remove(key)
            self.live_aside -= size
