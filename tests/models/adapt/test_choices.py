from __future__ import annotations

import pytest

from sam_ft.models.adapt.choices import ADAPT, adapt
from sam_ft.models.sam.variants import build_model

LEARNS = {
    "full": {"image_encoder", "prompt_encoder", "mask_decoder"},
    "decoder": {"mask_decoder"},
    "prompt_and_decoder": {"prompt_encoder", "mask_decoder"},
    "lora": {"image_encoder", "mask_decoder"},
    "adapter": {"image_encoder", "prompt_encoder", "mask_decoder"},
    "norm_and_bias": {"image_encoder", "mask_decoder"},
    "hq": {"mask_decoder"},
}


@pytest.mark.parametrize("how", ADAPT)
def test_a_name_chooses_what_learns(how):
    model = build_model("vit_tiny", image_size=16)
    num_parameters = sum(parameter.numel() for parameter in model.image_encoder.parameters())
    adapt(model, how)
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    assert {name.partition(".")[0] for name, _ in learning} == LEARNS[how]
    in_encoder = sum(p.numel() for name, p in learning if name.startswith("image_encoder."))
    if how in ("lora", "norm_and_bias"):
        assert 0 < in_encoder < 0.1 * num_parameters


def test_unknown_name_is_told_the_known_ones():
    model = build_model("vit_tiny", image_size=16)
    with pytest.raises(ValueError, match="one of full, decoder, .*, hq, but got 'heads'"):
        adapt(model, "heads")
