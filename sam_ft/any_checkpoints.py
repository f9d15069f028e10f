"""Weights of whichever model there is: a SAM, or the U-Net that it is compared with."""

from __future__ import annotations

import logging

from safetensors.torch import save_file

from sam_ft.checkpoints import PathLike, load_weights, model_with, read_state_dict, save_safetensors
from sam_ft.files import atomic_write
from sam_ft.models.sam.model import Sam
from sam_ft.models.unet import UNet, is_unet, resized, unet_of

_log = logging.getLogger(__name__)

AnyModel = Sam | UNet
"""What may be trained and measured."""


def load_any_model(path: PathLike, *, image_size: int | None = None) -> AnyModel:
    """Builds and loads the model that a checkpoint holds, in `eval` mode; a SAM as `sam_ft.checkpoints.load_model`.

    Args:
        path: anything that `read_state_dict` reads.
        image_size: another side of the frame in pixels; None keeps the checkpoint's own.

    Raises:
        ValueError: the checkpoint cannot be read, or holds neither; the message names the path.
    """
    state_dict = read_state_dict(path)
    if not is_unet(state_dict):
        return model_with(state_dict, path=path, image_size=image_size)
    try:
        state_dict = state_dict if image_size is None else resized(state_dict, image_size)
        model = unet_of(state_dict)
        report = load_weights(model, state_dict)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err
    _log.info("%s: %s", path, report)
    return model.eval()


def save_any_safetensors(model: AnyModel, path: PathLike) -> None:
    """Writes a `.safetensors` file that `load_any_model` reads: of a SAM with Meta's names, of a U-Net with its own."""
    if isinstance(model, Sam):
        save_safetensors(model, path)
        return
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(weights, temporary, metadata={"format": "pt", "names": "unet"})
