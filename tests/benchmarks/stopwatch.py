"""How long each stage of some work takes. Imports nothing of ours, so that peers can use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


class Stopwatch:
    """Adds up the time in functions of modules and methods of classes, by stage.

    A stage inside another one is taken out of it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def watch(self, stage: str, owner: Any, name: str) -> None:
        """Count what `owner.name` takes as this stage from now on."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            result = original(*args, **kwargs)
            taken = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken - self._inner.pop()
            self._inner[-1] += taken
            return result

        setattr(owner, name, timed)

    def clear(self) -> None:
        self.seconds.clear()

    def as_arrays(self) -> dict[str, np.ndarray]:
        """`seconds.STAGE` for each."""
        return {f"seconds.{stage}": np.array(seconds) for stage, seconds in self.seconds.items()}
