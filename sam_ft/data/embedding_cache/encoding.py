"""Images to embeddings on the disk, many in a file; an interruption keeps those that are done."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sam_ft.data.embedding_cache.progress import progress
from sam_ft.data.embedding_cache.shards import Shards
from sam_ft.data.embedding_cache.views import View
from sam_ft.files import as_text
from sam_ft.models.sam.model import Sam
from sam_ft.types import ImageEmbedding

_logger = logging.getLogger(__name__)

SHARD_BYTES = 128 * 2**20
"""About so much is in a file, and lost where a process is killed at once."""


@dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Attributes:
        device: where the image encoder runs; it is back in its place afterwards.
        autocast: the type that `torch.autocast` lets the encoder's operations have; None: 32 bits throughout.
        batch_size: images at once.
        num_workers: processes that read and prepare.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    autocast: torch.dtype | None = None
    batch_size: int = 1
    num_workers: int = 0


def row_shapes(model: Sam) -> list[tuple[int, int, int]]:
    """(C, h, w) of an image's features, and of what else the decoder takes of it."""
    _, height, width, channels = model.image_encoder.pos_embed.shape
    features = (cast(nn.Conv2d, model.image_encoder.neck[0]).out_channels, height, width)
    return [features, *([(channels, height, width)] if model.mask_decoder.uses_early_features else [])]


def row_bytes(model: Sam, dtype: torch.dtype) -> int:
    """Of the embedding of one image; under autocast it may be less."""
    return sum(math.prod(shape) for shape in row_shapes(model)) * dtype.itemsize


def encode(views: Sequence[View], model: Sam, shards: Shards, *, dtype: torch.dtype, encoding: Encoding) -> None:
    """Write the embedding of each view in `dtype`, or in the encoder's own type where that is no wider.

    Raises:
        ValueError: there is no room, a file cannot be written, or an embedding is not finite in `dtype`.
    """
    size = row_bytes(model, dtype)
    _expect_room(shards.folder, num_rows=len(views), size=size)
    loader: Any = DataLoader(_Images(views), batch_size=encoding.batch_size, num_workers=encoding.num_workers)
    rows: dict[str, ImageEmbedding] = {}
    with _on(model, encoding.device), torch.inference_mode(), progress(len(views), "embedding cache") as bar:
        try:
            for keys, names, images in loader:
                with torch.autocast(encoding.device.type, encoding.autocast, enabled=encoding.autocast is not None):
                    embedding = model.encode_image(images.to(encoding.device))
                for row, (key, name) in enumerate(zip(keys, names, strict=True)):
                    rows[key] = _row(embedding, row, dtype=dtype, name=name)
                bar.update(len(keys))
                if len(rows) * size >= SHARD_BYTES:
                    done, rows = rows, {}
                    shards.write(done)
        finally:
            shards.write(rows)


class _Images(Dataset[tuple[str, str, Tensor]]):
    """Key, name and frame of the views."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> tuple[str, str, Tensor]:
        view = self.views[index]
        sample = view.part.samples[view.item]
        prepared = view.part.prepare_of(view.item)(sample, seed=(view.part.seed, view.number, view.item))
        return view.key, sample.name, cast(Tensor, prepared.image)


def _row(embedding: ImageEmbedding, row: int, *, dtype: torch.dtype, name: str) -> ImageEmbedding:
    """A copy of one image of a batch, in `dtype` or in its own type where that is no wider."""
    features, *others = (
        tensor[row : row + 1].to("cpu", dtype if dtype.itemsize < tensor.dtype.itemsize else tensor.dtype, copy=True)
        for tensor in (embedding.features, *embedding.high_resolution)
    )
    if not all(tensor.isfinite().all() for tensor in (features, *others)):
        raise ValueError(
            f"Expected finite numbers in the embedding of {name}, but got others in {features.dtype}: float32 and "
            "bfloat16 hold the largest ones; else the weights are broken."
        )
    return ImageEmbedding(features=features, high_resolution=tuple(others))


def _expect_room(folder: Path, *, num_rows: int, size: int) -> None:
    """Tell how much will be written.

    Raises:
        ValueError: it is more than is free.
    """
    free, needed = shutil.disk_usage(folder).free, num_rows * size
    if needed > free:
        raise ValueError(
            f"Expected {as_text(needed)} free in {folder} for {num_rows} embeddings of {as_text(size)}, but "
            f"{as_text(free)} are: give another embedding_cache.folder, fewer embedding_cache.views, or "
            "embedding_cache.dtype=bfloat16."
        )
    _logger.info(
        "Embedding cache: %d images to encode, %s each, %s in all; %s are free in %s.",
        num_rows, as_text(size), as_text(needed), as_text(free), folder,
    )  # fmt: skip


@contextmanager
def _on(model: Sam, device: torch.device) -> Iterator[None]:
    """Have the image encoder on a device."""
    place = model.image_encoder.pos_embed.device
    model.image_encoder.to(device)
    try:
        yield
    finally:
        model.image_encoder.to(place)
