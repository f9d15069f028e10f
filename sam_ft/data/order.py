"""The order in which training visits its samples, as a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochOrder(Sampler[int]):
    """A new random order in every epoch, for `PreparedSamples`: item `epoch * num_samples + index`.

    Nothing but (seed, epoch) decides the order, so that a resumed run continues as if never stopped. Lightning
    calls `set_epoch` by itself.

    Attributes:
        skip: How many samples the next epoch leaves out at its beginning, where a resumed run has done them already;
            the length stays that of a whole epoch.

    Args:
        num_samples: Length of the data set.
        seed: Another seed, another order.
        num_replicas: Processes that share an epoch (DDP).
        rank: Which of them this is; all get equally many, the last `num_samples % num_replicas` are left out.

    Raises:
        ValueError: Fewer samples than replicas, or a rank out of range.
    """

    def __init__(self, num_samples: int, *, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        if num_samples < num_replicas or not 0 <= rank < num_replicas:
            raise ValueError(
                f"Expected at least one sample per replica and a rank among them, "
                f"but got {num_samples} samples, {num_replicas} replicas and rank {rank}."
            )
        self.num_samples = num_samples
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples // self.num_replicas

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        mine = order[self.rank :: self.num_replicas][: len(self)]
        first, self.skip = self.skip, 0
        return iter((mine + self.epoch * self.num_samples).tolist()[first:])
