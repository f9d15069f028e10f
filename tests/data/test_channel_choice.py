from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.data.channel_choice import chosen_channels

PATH = Path("dataset.json")
NAMES = ("FLAIR", "T1w", "T1gd", "T2w")


def test_channels_are_chosen_by_name_or_number() -> None:
    assert chosen_channels(NAMES, "T1gd", path=PATH) == chosen_channels(NAMES, [2], path=PATH) == (2,)
    assert chosen_channels(NAMES, ["T2w", 0, "T2w"], path=PATH) == (3, 0, 3)
    assert chosen_channels(["CT"], None, path=PATH) == (0,)
    assert chosen_channels(["R", "G", "B"], None, path=PATH) == (0, 1, 2)


@pytest.mark.parametrize("chosen", [None, [], ["T1w", "T2w"], ["T1w"] * 4, "t1w", 4, -1, True, [None]])
def test_what_is_not_there_is_refused_with_what_is(chosen: object) -> None:
    with pytest.raises(ValueError, match=r"FLAIR.*T2w.*dataset.json"):
        chosen_channels(NAMES, chosen, path=PATH)  # type: ignore[arg-type]


def test_a_name_of_two_channels_needs_a_number() -> None:
    with pytest.raises(ValueError, match="0 noNorm, 1 noNorm"):
        chosen_channels(["noNorm", "noNorm"], "noNorm", path=PATH)
