"""Cross-validation: every group is held out for validation in exactly one of k folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sam_ft.checks import expect_whole_number
from sam_ft.data.splits import GroupSplit, Part


@dataclass(frozen=True)
class FoldSplit:
    """One fold of a k-fold cross-validation over whole groups: patients, volumes or files.

    The groups, in the order of a hash of their names and the seed, are dealt out to the folds in turn, so that folds
    differ by one group at most and do not depend on the order of the files or on the machine.

    Args:
        fold: Which fold to validate on, from 0 to num_folds - 1; the others are trained on.
        num_folds: How many folds; 2 or more.
        test: Share of the groups, or names of groups, that no fold sees and that are the same in all folds; 0: none.
        seed: Another seed, other folds.

    Raises:
        ValueError: A fold out of range, fewer than two folds, or a test share as `GroupSplit` refuses it.
    """

    fold: int
    num_folds: int = 5
    test: float | Sequence[str] = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        expect_whole_number("num_folds", self.num_folds, least=2)
        expect_whole_number("fold", self.fold, least=0)
        if self.fold >= self.num_folds:
            raise ValueError(f"Expected `fold` from 0 to {self.num_folds - 1}, but got {self.fold}.")
        self._test_split()

    def assign(self, groups: Sequence[str]) -> dict[str, Part]:
        """Group -> the part it belongs to.

        Raises:
            ValueError: An unknown test group, or fewer groups than folds.
        """
        parts = self._test_split().assign(groups)
        free = [group for group, part in parts.items() if part != "test"]
        if len(free) < self.num_folds:
            raise ValueError(
                f"Expected at least one group for each of {self.num_folds} folds, but got {len(free)} "
                f"({', '.join(sorted(free))}); a group is a patient, not a slice."
            )
        ordered = sorted(free, key=lambda group: hashlib.sha256(f"{self.seed}:fold:{group}".encode()).hexdigest())
        for number, group in enumerate(ordered):
            parts[group] = "val" if number % self.num_folds == self.fold else "train"
        return parts

    def _test_split(self) -> GroupSplit:
        return GroupSplit(val=0.0, test=self.test, seed=self.seed)
