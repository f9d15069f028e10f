"""The order in which training visits its samples, as a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from sam_ft.data.draws import Draws


class EpochOrder(Sampler[int]):
    """The draws of every epoch in their order, for `PreparedSamples`: item `round * num_samples + index`.

    Nothing but (seed, epoch) decides the order, so that a resumed run continues as if never stopped. Lightning
    calls `set_epoch` by itself.

    Attributes:
        skip: How many draws the next epoch leaves out at its beginning, where a resumed run has done them already;
            the length stays that of a whole epoch.

    Args:
        draws: What an epoch visits.
        seed: Another seed, another order.
        num_replicas: Processes that share an epoch (DDP); no draw goes to two of them.
        rank: Which of them this is; all get equally many, the last `len(draws) % num_replicas` are left out.

    Raises:
        ValueError: Fewer draws than replicas, or a rank out of range.
    """

    def __init__(self, draws: Draws, *, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        if len(draws) < num_replicas or not 0 <= rank < num_replicas:
            raise ValueError(
                f"Expected at least one sample per replica and a rank among them, "
                f"but got {len(draws)} samples, {num_replicas} replicas and rank {rank}."
            )
        self.draws = draws
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration belongs to."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.draws) // self.num_replicas

    def __iter__(self) -> Iterator[int]:
        mine = self.draws(self.epoch, seed=self.seed)[self.rank :: self.num_replicas][: len(self)]
        first, self.skip = self.skip, 0
        return iter(mine.tolist()[first:])
