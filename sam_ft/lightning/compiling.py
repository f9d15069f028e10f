"""The model's two calls through `torch.compile`, of which training makes use.

Every new shape is compiled anew unless it is told to be a variable, and a graph takes a minute or more. So the shapes
are few here: images and the number of points are fixed, the points being padded to the most that a round may have, and
the number of objects is a variable from 2 on. What is left is one graph of the image encoder and a few of the decoder:
for one object and for several, for rounds with and without a mask, for one mask or three; in semantic segmentation,
where all images have the same shapes, it is one. The points are padded also
because PyTorch 2.13 computes wrong strides of attention where the number of tokens is a variable.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.any_checkpoints import AnyModel
from sam_ft.models.sam.model import Sam
from sam_ft.types import ABSENT, ImageEmbedding, MaskPrediction, Prompts

Encode = Callable[[Tensor], ImageEmbedding]
DecodeImages = Callable[..., MaskPrediction]
ClassifyPixels = Callable[[ImageEmbedding], Tensor]


def expect_compiler() -> None:
    """Find out whether `torch.compile` can work here, before it fails in the middle of a step.

    Raises:
        ValueError: there is no C++ compiler, or there is a GPU and no triton.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise ValueError(
            f"Expected a C++ compiler for compile=true, but {compiler} is not found: install one, name it in the "
            "environment variable CXX, or leave compile=false."
        )
    if torch.cuda.is_available() and find_spec("triton") is None:
        raise ValueError(
            "Expected the package `triton` for compile=true on a GPU, but it is not installed: pip install triton, or "
            "leave compile=false."
        )


def compiled_encoder(model: AnyModel) -> Encode:
    """`model.encode_image`, compiled when it is first called; parameters and their names stay the model's own."""
    return torch.compile(model.encode_image)


def compiled_classifier(model: AnyModel) -> ClassifyPixels:
    """`model.classify_pixels`, compiled when it is first called."""
    return torch.compile(model.classify_pixels)


def compiled_decoder(model: Sam, *, num_points: int) -> DecodeImages:
    """`model.decode`, compiled when it is first called with each kind of prompts.

    Args:
        model: its parameters and their names stay as they are.
        num_points: the most points that an object may have.
    """
    compiled = torch.compile(model.decode)

    def decode(embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        prompts = with_points(prompts, num_points)
        for tensor in vars(prompts).values():
            if tensor is not None and tensor.shape[1] > 1:
                torch._dynamo.maybe_mark_dynamic(tensor, 1)
        return compiled(embedding, prompts, multimask_output=multimask_output)

    return decode


def with_points(prompts: Prompts, num_points: int) -> Prompts:
    """The same prompts with absent points up to a fixed number; those without any points stay so."""
    if prompts.points is None or prompts.labels is None:
        return prompts
    missing = num_points - prompts.points.shape[2]
    if missing < 0:
        raise ValueError(f"Expected at most {num_points} points for an object, but got {prompts.points.shape[2]}.")
    return replace(
        prompts,
        points=F.pad(prompts.points, (0, 0, 0, missing)),  # (B, N, num_points, 2)
        labels=F.pad(prompts.labels, (0, missing), value=ABSENT),  # (B, N, num_points)
    )
