"""An image's embedding as a file, with what is needed to refuse it under another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sam_ft.files import atomic_write
from sam_ft.types import ImageEmbedding

_KIND = "sam-ft image embedding 1"


@dataclass(frozen=True)
class SavedEmbedding:
    """The embedding of B images.

    Attributes:
        embedding: of the images.
        source_sizes: (height, width) of each.
        weights: the fingerprint of the model that made it.
    """

    embedding: ImageEmbedding
    source_sizes: tuple[tuple[int, int], ...]
    weights: str

    def write(self, path: str | Path) -> None:
        """Write it as safetensors, at once.

        Raises:
            ValueError: `path` cannot be written to.
        """
        tensors = (self.embedding.features, *self.embedding.high_resolution)
        content = {str(number): tensor.detach().cpu().contiguous() for number, tensor in enumerate(tensors)}
        sizes = ",".join(f"{height}x{width}" for height, width in self.source_sizes)
        with atomic_write(path) as temporary:
            save_file(content, temporary, metadata={"kind": _KIND, "source_sizes": sizes, "weights": self.weights})

    @classmethod
    def read(cls, path: str | Path) -> SavedEmbedding:
        """Read what `write` has written.

        Raises:
            ValueError: there is no such file, or it is another one.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = [file.get_tensor(name) for name in sorted(file.keys(), key=int)] if _is_ours(metadata) else []
        except (SafetensorError, OSError) as err:
            raise ValueError(f"Expected an embedding in {path}, but it cannot be read: {err}") from err
        if not tensors:
            raise ValueError(f"Expected an embedding that a predictor has saved, but {path} is something else.")
        return cls(_embedding(tensors), _sizes(metadata["source_sizes"]), metadata["weights"])


def _is_ours(metadata: dict[str, str]) -> bool:
    return metadata.get("kind") == _KIND


def _embedding(tensors: Sequence[Tensor]) -> ImageEmbedding:
    return ImageEmbedding(features=tensors[0], high_resolution=tuple(tensors[1:]))


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    heights_and_widths = (part.split("x") for part in text.split(","))
    return tuple((int(height), int(width)) for height, width in heights_and_widths)
