"""Fill an embedding cache with what it lacks of a training's images, and let the training read from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sam_ft.data.collation import PreparedSamples
from sam_ft.data.embedding_cache.cached import CachedEmbeddings
from sam_ft.data.embedding_cache.encoding import Encoding, encode
from sam_ft.data.embedding_cache.keys import encoder_key, expect_frozen
from sam_ft.data.embedding_cache.settings import DTYPES, EmbeddingCacheSettings
from sam_ft.data.embedding_cache.shards import Shards
from sam_ft.data.embedding_cache.views import view_keys, views_of
from sam_ft.files import as_text
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import variant_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filled:
    """What there is after filling."""

    folder: Path  # of this image encoder and type
    num_needed: int  # embeddings that the training reads
    num_encoded: int  # of these by this call
    num_others: int  # of other trainings, or of images that have changed since
    row_bytes: int  # of one

    def __str__(self) -> str:
        text = (
            f"Embedding cache: {self.num_needed} embeddings of {as_text(self.row_bytes)} in {self.folder}, "
            f"{self.num_encoded} of them new"
        )
        if not self.num_others:
            return f"{text}."
        others = as_text(self.num_others * self.row_bytes)
        return f"{text}; {self.num_others} more there ({others}) belong to other trainings or to images as they were."


def fill(
    parts: Sequence[PreparedSamples], model: Sam, settings: EmbeddingCacheSettings, *, encoding: Encoding
) -> Filled:
    """Encode what is missing of some data sets; from then on they give embeddings instead of images.

    One process encodes at a time; others that come meanwhile wait and find everything there. What is encoded stays
    where the work is interrupted, and the next call goes on from there.

    Args:
        parts: such as for training and for validation; of samples of which random views are seen `settings.views` are
            kept, else one.
        model: with a frozen image encoder.
        settings: where, and what.
        encoding: how.

    Raises:
        ValueError: the encoder is not frozen, the disk is too small, the folder cannot be written to, or an embedding
            is not finite in its type.
    """
    expect_frozen(model)
    encoder = encoder_key(model, autocast=encoding.autocast)
    name = f"{variant_of(model) or 'sam'}_{model.image_size}px_{settings.dtype}_{encoder}"
    folder = Path(settings.folder).expanduser() / name
    keys = [view_keys(part, num_views=settings.views, num_workers=encoding.num_workers) for part in parts]
    needed = {view.key: view for part, own in zip(parts, keys, strict=True) for view in views_of(part, own)}
    shards, num_encoded = Shards(folder), 0
    if any(key not in shards for key in needed):
        with _alone(folder):
            shards.tidy()  # and see what another process has written meanwhile
            missing = [view for key, view in needed.items() if key not in shards]
            if missing:
                encode(missing, model, shards, dtype=DTYPES[settings.dtype], encoding=encoding)
            num_encoded = len(missing)
    for part, own in zip(parts, keys, strict=True):
        part.embeddings = CachedEmbeddings(shards, own)
    size = shards.read(next(iter(needed))).nbytes
    return Filled(folder, len(needed), num_encoded, len(shards) - len(needed), size)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder, and hold its lock against other processes.

    Raises:
        ValueError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _logger.info("%s: another process is writing embeddings; waiting.", folder)
            lock.acquire()
    except OSError as err:
        raise ValueError(f"Expected a folder to write embeddings to, but {folder} is none: {err}.") from err
    try:
        yield
    finally:
        lock.release()
