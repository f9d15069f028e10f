"""The folds of nnU-Net, as its file `splits_final.json` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_ft.checks import expect_whole_number, quoted
from sam_ft.data.folders import expanded
from sam_ft.data.json_files import read_json_array
from sam_ft.data.splits import Part


@dataclass(frozen=True)
class NnunetFold:
    """One fold of a list of `{"train": [CASE, ...], "val": [CASE, ...]}`; nothing is held out for testing.

    Args:
        file: The list; nnU-Net keeps it in the folder of the preprocessed data set.
        fold: Which of its folds, from 0.

    Raises:
        ValueError: A fold that is no whole number of 0 and above.
    """

    file: str | Path
    fold: int = 0

    def __post_init__(self) -> None:
        expect_whole_number("fold", self.fold, least=0)

    def assign(self, groups: Sequence[str]) -> dict[str, Part]:
        """Case -> train or val.

        Raises:
            ValueError: The file cannot be read or says something else, has no such fold, has a case in both parts, or
                leaves one of `groups` out.
        """
        path = expanded(self.file)
        folds = read_json_array(path)
        if self.fold >= len(folds):
            raise ValueError(f"Expected `fold` below {len(folds)}, the number of folds in {path}, but got {self.fold}.")
        train, val = (_cases(folds[self.fold], part, path) for part in ("train", "val"))
        if both := sorted(train & val):
            raise ValueError(f"Expected each case in one part of fold {self.fold} in {path}, but {both[0]} is in both.")
        if absent := sorted(set(groups) - train - val):
            raise ValueError(
                f"Expected fold {self.fold} in {path} to hold every case, but {', '.join(absent[:3])} is in no part."
            )
        return {group: "val" if group in val else "train" for group in groups}


def _cases(fold: object, part: str, path: Path) -> set[str]:
    cases = fold.get(part) if isinstance(fold, dict) else None
    if not isinstance(cases, list) or not all(isinstance(case, str) for case in cases):
        raise ValueError(f"Expected a list of cases for {part} in each fold in {path}, but got {quoted(cases)}.")
    return set(cases)
