"""A vit_b that finds something, without any download: the shipped vit_tiny, made as wide and as deep.

Each channel is there twice (in the image encoder four times), and what reads it takes half (a quarter) of each copy, so
that all sums stay what they were; further blocks of the encoder add nothing. The decoder gives the same masks as the
small one from the same features; the encoder's windows are larger, so that its features differ a little.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sam_ft.checkpoints import load_model
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model


def widened_vit_b() -> Sam:
    """In evaluation mode, at 1024 px."""
    small = load_model("vit_tiny_phantoms", image_size=1024)
    large = build_model("vit_b").eval()
    given = small.state_dict()
    weights = {name: _widened(name, given, like=like) for name, like in large.state_dict().items()}
    large.load_state_dict(weights)
    return large


def _widened(name: str, given: dict[str, Tensor], *, like: Tensor) -> Tensor:
    if name not in given:  # a block that the small encoder has not
        return torch.zeros_like(like) if ".attn.proj." in name or ".mlp.lin2." in name else like
    tensor = given[name]
    if "rel_pos" in name and tensor.shape != like.shape:
        return functional.interpolate(tensor.T[None], len(like), mode="linear")[0].T
    for dim, (have, want) in enumerate(zip(tensor.shape, like.shape, strict=True)):
        if have != want:
            parts = (
                3 if ".qkv." in name and dim == 0 else 2 if have == 128 else 1
            )  # queries, keys, values; sine, cosine
            copies = torch.cat([each.repeat(want // have) for each in torch.arange(have).chunk(parts)])
            tensor = tensor.index_select(dim, copies)
            if dim == _input_dim(name, tensor):
                tensor = tensor / (want // have)
    is_kernel = "hypernetworks" in name and ".layers.2." in name  # whose products with the features are summed
    return tensor / 2 if is_kernel else tensor


def _input_dim(name: str, tensor: Tensor) -> int | None:
    """The dimension of a weight over which is summed; None for biases, norms and embeddings."""
    is_summed = name.endswith(".weight") and tensor.ndim > 1 and "embed" not in name.rsplit(".", 2)[-2]
    if not is_summed or name.endswith(("_token.weight", "_tokens.weight")) or "point_embeddings" in name:
        return None
    return 0 if "output_upscaling" in name else 1  # transposed convolutions
