"""What a person reads who has mistyped something. The programs' tests show the same through Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sam_ft.data.collation import whole_batches
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.mistakes import USER_ERRORS, explain, refuse_missing, whole_number
from sam_ft.types import Sample

CONFIGS = Path(__file__).parents[2] / "configs"
DATA = ", ".join(sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml")))


def words(*overrides: str, program: str = "fit") -> str:
    with (
        initialize_config_dir(str(CONFIGS), version_base="1.3"),
        pytest.raises(USER_ERRORS) as err,
    ):
        compose(program, list(overrides))
    return explain(err.value, config_folder=CONFIGS)


@pytest.mark.parametrize(
    "override, expected",
    [
        ("trainer.max_stepz=3", "got `trainer.max_stepz`. Did you mean `trainer.max_steps`?"),
        ("modle.image_size=64", "got `modle`. Did you mean `model`?"),
        ("optimiser.learning_rate=1", "got `optimiser.learning_rate`. Known of `optimiser`: schedule, lr, lr_factors,"),
        ("lr=3", "got `lr`. Did you mean `optimiser.lr`?"),
        ("data.foo=3", "Known of `data`: num_train, num_val, num_test, image_size, seed."),
        ("model=vit_bb", "Expected `model` to be one of unet, vit_b, vit_h, vit_l, vit_tiny, but got 'vit_bb'."),
        ("model=vit_bb", "Did you mean `vit_b`"),
        ("experiment=demo_brian", "Did you mean `demo_brain`?"),
        ("trainer.foo=3", "Another argument of Lightning's Trainer is added by +trainer.foo=..."),
        ("foo", "Expected overrides such as name=value, but got 'foo'"),
        ("a=[1", "Expected overrides such as name=value, but got 'a=[1'"),
    ],
)
def test_a_typo_is_named_with_what_is_like_it(override: str, expected: str) -> None:
    text = words("data=synthetic", override)
    assert expected in text
    assert "\n" not in text


def test_an_unknown_choice_names_the_options_and_the_nearest() -> None:
    expected = f"Expected `data` to be one of {DATA}, but got 'nifty'. Did you mean `nifti`?"
    assert words("data=nifty") == expected


def test_a_setting_of_a_group_that_is_not_chosen_says_so() -> None:
    expected = f"Expected a choice of `data`, but got none: add data=NAME, one of {DATA}."
    assert words("data.images=b") == words("checkpoint=a", "data.images=b", program="evaluate") == expected


def test_values_that_are_missing_are_named_together() -> None:
    config = OmegaConf.create({"checkpoint": "???", "data": {"images": "???"}, "part": "test"})
    with pytest.raises(ValueError, match="checkpoint and data.images, but got none: add checkpoint=... data.images="):
        refuse_missing(config)
    refuse_missing(OmegaConf.create({"part": "test", "data": None}))


@pytest.mark.parametrize("value", ["abc", 0, -1, 1.5, None, True])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    config = OmegaConf.create({"model": {"image_size": value}})
    with pytest.raises(ValueError, match="`model.image_size` to be a whole number of at least 1"):
        whole_number(config, "model.image_size", least=1)
    assert whole_number(OmegaConf.create({"a": 3}), "a", least=3) == 3


class Broken(Synthetic):
    def __getitem__(self, index: int) -> Sample:
        raise ValueError("Expected an image in second.png, but it cannot be decoded: truncated.")


def test_the_error_of_a_worker_is_its_own_line_and_not_its_traceback() -> None:
    with pytest.raises(ValueError) as err:
        list(whole_batches(Broken(2), image_size=64, num_workers=1))
    assert "Traceback" in str(err.value)
    assert explain(err.value) == "Expected an image in second.png, but it cannot be decoded: truncated."


def test_long_messages_become_one_line() -> None:
    assert explain(ValueError("Expected a\n  and b.")) == "Expected a and b."


def test_a_mistake_of_ours_is_not_one_of_the_user() -> None:
    assert not issubclass(TypeError, USER_ERRORS)
    assert not issubclass(torch.OutOfMemoryError, USER_ERRORS)
