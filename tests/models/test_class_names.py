from __future__ import annotations

import pytest
import torch

from sam_ft.models.class_names import ClassNames, decoded_names


def test_names_travel_with_the_weights():
    other = ClassNames(["a"])
    other.load_state_dict(ClassNames(["cell", "Zellkern, groß"]).state_dict())
    assert other.names == ("cell", "Zellkern, groß")


def test_names_are_one_tensor_of_bytes_also_on_no_device():
    with torch.device("meta"):
        (state,) = ClassNames(["ab"]).state_dict().values()
    assert state.dtype == torch.uint8
    assert decoded_names(state) == ("ab",)


@pytest.mark.parametrize(
    "names, message",
    [([], "names of classes"), ("cell", "'cell'"), (["a", ""], "''"), ([1], "1"), (["a", "b", "a"], "once.*a, b, a")],
)
def test_names_that_are_none_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        ClassNames(names)
