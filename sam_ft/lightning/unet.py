"""The U-Net that a config says to train."""

from __future__ import annotations

import logging

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from sam_ft.any_checkpoints import load_any_model
from sam_ft.data.splits import DataSplits
from sam_ft.lightning.heads import chosen_classes
from sam_ft.lightning.mistakes import whole_number
from sam_ft.models.adapt.freeze import TrainParts
from sam_ft.models.semantic_head import with_background
from sam_ft.models.unet import UNet

_logger = logging.getLogger(__name__)


def unet_of(config: DictConfig, data: DataSplits) -> UNet:
    """A U-Net for the classes of the data, from random weights or from those of an earlier one.

    Raises:
        ValueError: the config chooses a SAM, or trains a part alone; or the weights are of something else.
    """
    if config.model.name != "unet":
        raise ValueError(f"Expected model=unet for task=unet, which chooses it by itself, but got {config.model.name}.")
    if config.adapt != "full" and (isinstance(config.adapt, str) or instantiate(config.adapt) != TrainParts()):
        raise ValueError("Expected adapt=full for task=unet: a U-Net has learnt nothing before, and learns as a whole.")
    torch.manual_seed(whole_number(config, "seed", least=0))
    size, width = (whole_number(config, f"model.{name}", least=1) for name in ("image_size", "width"))
    model = _loaded(config, image_size=size)
    if model is None:
        if config.classes is None:
            raise ValueError("Expected `classes` to be auto or a list such as [road, car], since there are no weights.")
        model = UNet(chosen_classes(data, config.classes), image_size=size, width=width)
    elif config.classes is not None:
        wanted = with_background(chosen_classes(data, config.classes))
        if wanted != model.pixel_class_names:
            raise ValueError(
                f"Expected weights of the classes {', '.join(wanted)}, but {config.model.weights} has "
                f"{', '.join(model.pixel_class_names)}: give classes=null, or begin anew."
            )
    _logger.info("Classes: %s", ", ".join(model.pixel_class_names))
    return model


def _loaded(config: DictConfig, *, image_size: int) -> UNet | None:
    """The U-Net of the weights to start from; None where there are none.

    Raises:
        ValueError: they are those of a SAM.
    """
    if config.model.weights is None:
        return None
    model = load_any_model(config.model.weights, image_size=image_size)
    if not isinstance(model, UNet):
        raise ValueError(f"Expected the weights of a U-Net for task=unet, but {config.model.weights} holds a SAM.")
    return model
