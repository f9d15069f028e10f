"""Which weights a module has, as a short text."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def add_weights(digest: hashlib.blake2b, module: nn.Module) -> None:
    """Let a digest depend on the names, types, shapes and numbers of a module's weights."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def weights_fingerprint(module: nn.Module) -> str:
    """32 hexadecimal digits; modules with the same weights under the same names have the same."""
    digest = hashlib.blake2b(digest_size=16)
    add_weights(digest, module)
    return digest.hexdigest()
