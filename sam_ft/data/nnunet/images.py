"""A case of nnU-Net that is one image, in grey files for each channel or in one colour file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sam_ft.data.folders import read_checked
from sam_ft.data.image_files import read_image


@dataclass(frozen=True)
class NnunetImage:
    """A case of `sam_ft.data.labelled_images`."""

    name: str
    group: str
    files: tuple[Path, ...]  # of all channels, or one of three
    label_path: Path
    channels: tuple[int, ...]  # one, or three for red, green and blue
    pixel_mm: tuple[float, float] | None = None

    def read_image(self) -> np.ndarray:
        """(H, W, 3) uint8.

        Raises:
            ValueError: A file cannot be decoded, is in colour where one channel is expected, or is of another size.
        """
        if len(self.files) == 1:
            colours = read_image(self.files[0])
            return colours if self.channels == (0,) else colours[..., np.resize(self.channels, 3)]
        shown = {channel: self._grey(self.files[channel]) for channel in dict.fromkeys(self.channels)}
        first = self.files[self.channels[0]]
        for channel, plane in shown.items():
            if plane.shape != shown[self.channels[0]].shape:
                raise ValueError(f"Expected {self.files[channel]} of the size of {first}, but got {plane.shape}.")
        return np.stack([shown[channel] for channel in np.resize(self.channels, 3)], axis=-1)

    def read_labels(self) -> np.ndarray:
        """(H, W) class numbers; raises as `sam_ft.data.folders.read_checked`."""
        return read_checked(self.files[0], self.label_path)

    def _grey(self, path: Path) -> np.ndarray:
        picture = read_image(path)
        if (picture != picture[..., :1]).any():
            raise ValueError(f"Expected one grey channel in {path}, but it is in colour.")
        return picture[..., 0]
