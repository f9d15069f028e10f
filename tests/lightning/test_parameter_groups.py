from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from sam_ft.lightning.parameter_groups import Rates, TrainedParameter, parameter_table
from sam_ft.models.adapt.choices import ADAPT, adapt
from sam_ft.models.adapt.freeze import TrainParts
from sam_ft.models.sam.model import Sam

WITH_WEIGHTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def rates(**changes: Any) -> Rates:
    return Rates(**{"lr": 1.0, "lr_factors": {}, "layer_decay": 1.0, "weight_decay": 0.1, **changes})


def by_name(model: Sam, **changes: Any) -> dict[str, TrainedParameter]:
    return {each.name: each for each in rates(**changes).of(model)}


@pytest.mark.parametrize("how", ADAPT)
def test_every_trained_parameter_gets_its_rates_exactly_once(tiny_model: Callable[..., Sam], how: str) -> None:
    model = tiny_model()
    adapt(model, how)
    given = [id(each.parameter) for each in rates(layer_decay=0.8).of(model)]
    assert sorted(given) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)


def test_each_part_has_its_own_learning_rate(tiny_model: Callable[..., Sam]) -> None:
    trained = by_name(tiny_model(), lr=0.5, lr_factors={"image_encoder": 0.1, "mask_decoder": 4.0})
    found: dict[str, set[float]] = {}
    for name, each in trained.items():
        found.setdefault(name.partition(".")[0], set()).add(each.lr)
    assert found == {"image_encoder": {0.05}, "prompt_encoder": {0.5}, "mask_decoder": {2.0}}


@pytest.mark.parametrize("how", ["full", "lora", "adapter"])
def test_the_learning_rate_decays_down_the_image_encoder(tiny_model: Callable[..., Sam], how: str) -> None:
    model = tiny_model()
    adapt(model, how)
    beginnings = {  # of two blocks
        "image_encoder.pos_embed": 0.125,
        "image_encoder.patch_embed.": 0.125,
        "image_encoder.blocks.0.": 0.25,
        "image_encoder.blocks.1.": 0.5,
        "image_encoder.neck.": 1.0,
        "mask_decoder.": 1.0,
        "prompt_encoder.": 1.0,
    }
    for name, each in by_name(model, layer_decay=0.5).items():
        (expected,) = [factor for beginning, factor in beginnings.items() if name.startswith(beginning)]
        assert each.lr == expected, name


def test_biases_norms_embeddings_and_positions_do_not_decay(tiny_model: Callable[..., Sam]) -> None:
    model = tiny_model()
    trained = by_name(model)
    for name in (
        "image_encoder.pos_embed",
        "image_encoder.blocks.0.attn.rel_pos_h",
        "image_encoder.blocks.1.attn.rel_pos_w",
        "image_encoder.blocks.0.attn.qkv.bias",
        "image_encoder.blocks.0.norm1.weight",
        "image_encoder.neck.1.weight",
        "prompt_encoder.point_embeddings.2.weight",
        "prompt_encoder.no_mask_embed.weight",
        "mask_decoder.iou_token.weight",
        "mask_decoder.mask_tokens.weight",
    ):
        assert trained.pop(name).weight_decay == 0, name
    for name, each in trained.items():
        module, _, kind = name.rpartition(".")
        is_weight = kind == "weight" and isinstance(model.get_submodule(module), WITH_WEIGHTS)
        assert each.weight_decay == (0.1 if is_weight else 0.0), name


def test_updates_of_lora_decay_and_the_lengths_of_dora_do_not(tiny_model: Callable[..., Sam]) -> None:
    from sam_ft.models.adapt.lora import Lora

    model = tiny_model()
    Lora(rank=2, dora=True, beside=())(model)
    decay = {name: each.weight_decay for name, each in by_name(model).items()}
    assert {value for name, value in decay.items() if "magnitude" in name} == {0.0}
    assert {value for name, value in decay.items() if "magnitude" not in name} == {0.1}


@pytest.mark.parametrize(
    "wrong, expected",
    [
        (
            {"lr_factors": {"encoder": 0.1}},
            "image_encoder, prompt_encoder, mask_decoder alone, but got one of 'encoder'",
        ),
        ({"lr_factors": {"mask_decoder": 0.0}}, "`lr_factors` above 0.*adapt="),
        ({"layer_decay": 1.1}, "`layer_decay`"),
        ({"lr": -1.0}, "`lr`"),
        ({"weight_decay": -0.1}, "`weight_decay`"),
    ],
)
def test_rates_out_of_range_are_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        rates(**wrong)


def test_the_table_shows_what_learns_and_how(tiny_model: Callable[..., Sam]) -> None:
    model = tiny_model()
    TrainParts(("image_encoder", "mask_decoder"))(model)
    table = parameter_table(model, rates(lr=1e-3, layer_decay=0.1, lr_factors={"mask_decoder": 0.1})).splitlines()
    assert [line.split()[0] for line in table] == ["part", "image_encoder", "prompt_encoder", "mask_decoder", "all"]
    assert len({line.index("M") for line in (table[1], table[3], table[4])}) == 1  # the units are one below another
    count = sum(parameter.numel() for parameter in model.image_encoder.parameters())
    assert table[1].split()[1:7] == [f"{count / 1e6:.3f}", "M", "-", "1.0e-06", "to", "1.0e-03"]
    assert table[2].split()[1] == "-" and table[2].split()[3:] == ["M", "-", "-"]
    assert table[3].split()[4] == "1.0e-04" and " 0.1 on " in table[3]
    total = sum(parameter.numel() for parameter in model.parameters())
    shown = [float(text) for text in table[4].replace("M", "").split()[1:]]
    assert sum(shown) == pytest.approx(total / 1e6, abs=1.1e-3)
    assert max(map(len, table)) < 100
