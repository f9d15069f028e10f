"""The U-Net baseline in two halves against MONAI's in one, and its weights on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import Tensor

from sam_ft.any_checkpoints import load_any_model, save_any_safetensors
from sam_ft.checkpoints import load_model
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.models.unet import UNet

NAMES = ("background", "road", "car")


def tiny(*, image_size: int = 32) -> UNet:
    torch.manual_seed(0)
    return UNet(["road", "car"], image_size=image_size, width=4)


def logits_of(model: UNet, images: Tensor) -> Tensor:
    return model.classify_pixels(model.encode_image(images))


def test_both_halves_together_are_monais_unet() -> None:
    model, whole = tiny(), BasicUNet(2, 3, 3, features=(4, 4, 8, 16, 32, 4))
    parts = [
        *zip(model.image_encoder.blocks, ("conv_0", "down_1", "down_2", "down_3", "down_4"), strict=True),
        *zip(model.mask_decoder.blocks, ("upcat_4", "upcat_3", "upcat_2", "upcat_1"), strict=True),
        (model.mask_decoder.final_conv, "final_conv"),
    ]
    for part, name in parts:
        whole.get_submodule(name).load_state_dict(part.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(logits_of(model, images), whole(images))
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in whole.parameters())


def test_every_pixel_has_a_logit_for_each_class() -> None:
    model = tiny()
    embedding = model.encode_image(torch.randn(1, 3, 32, 32))
    assert embedding.features.shape == (1, 32, 2, 2)
    assert [level.shape[-1] for level in embedding.high_resolution] == [32, 16, 8, 4]
    assert model.classify_pixels(embedding).shape == (1, 3, 32, 32)
    assert (model.pixel_class_names, model.class_names) == (NAMES, ())


def test_blocks_that_are_computed_again_give_the_same_gradients() -> None:
    model, images = tiny(), torch.randn(1, 3, 32, 32)
    gradients = []
    for again in (False, True):
        model.image_encoder.checkpoint_blocks = again
        model.zero_grad()
        logits_of(model, images).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    for kept, computed in zip(*gradients, strict=True):
        torch.testing.assert_close(computed, kept)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    model, images = tiny().eval(), torch.randn(1, 3, 32, 32)
    save_any_safetensors(model, tmp_path / "unet.safetensors")
    torch.save(
        {"state_dict": {f"model.{key}": value for key, value in model.state_dict().items()}}, tmp_path / "a.ckpt"
    )
    for name in ("unet.safetensors", "a.ckpt"):
        read = load_any_model(tmp_path / name)
        assert isinstance(read, UNet) and not read.training
        assert (read.image_size, read.pixel_class_names) == (32, NAMES)
        assert torch.equal(logits_of(read, images), logits_of(model, images))
    assert load_any_model(tmp_path / "a.ckpt", image_size=48).image_size == 48
    with pytest.raises(ValueError, match=r"a.ckpt: .* a multiple of 16 from 32 on, but got 40"):
        load_any_model(tmp_path / "a.ckpt", image_size=40)


def test_a_sam_is_read_as_ever_and_nothing_takes_a_unet_for_one(tmp_path: Path) -> None:
    save_any_safetensors(build_model("vit_tiny", image_size=64), tmp_path / "sam.safetensors")
    assert isinstance(load_any_model(tmp_path / "sam.safetensors"), Sam)
    save_any_safetensors(tiny(), tmp_path / "unet.safetensors")
    with pytest.raises(ValueError, match="unet.safetensors: Expected a SAM, but it holds a U-Net"):
        load_model(tmp_path / "unet.safetensors")


def test_a_size_or_a_width_that_does_not_fit_is_refused() -> None:
    for settings, message in (
        ({"image_size": 40}, "a multiple of 16"),
        ({"image_size": 16}, "from 32 on"),
        ({"width": 0}, "`width`"),
    ):
        with pytest.raises(ValueError, match=message):
            UNet(["road"], **settings)
    with pytest.raises(ValueError, match="each class once"):
        UNet(["road", "road"])
