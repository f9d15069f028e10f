"""Starting weights that have a name: those that come with the package, and published ones, fetched on first use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sam_ft.download import cache_folder, fetch


@dataclass(frozen=True)
class Published:
    """A file of weights on the network; a `checksum` is what `sam_ft.download.fetch` takes."""

    url: str
    checksum: str

    @property
    def file_name(self) -> str:
        """Its name in the cache folder, the one its publisher gave it."""
        return self.url.rpartition("/")[2]


SHIPPED = {"vit_tiny_phantoms": Path(__file__).parent / "weights" / "vit_tiny_phantoms.safetensors"}
"""Weights that come with the package, by name. `vit_tiny_phantoms` has seen drawn phantoms alone and no real image
(`configs/experiment/pretrain_tiny.yaml`)."""

_META = "https://dl.fbaipublicfiles.com/segment_anything"

PUBLISHED = {
    "sam_vit_b": Published(
        url=f"{_META}/sam_vit_b_01ec64.pth",
        checksum="sha256:ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam_vit_l": Published(
        url=f"{_META}/sam_vit_l_0b3195.pth",
        checksum="sha256:3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam_vit_h": Published(
        url=f"{_META}/sam_vit_h_4b8939.pth",
        checksum="sha256:a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "medsam_vit_b": Published(
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        checksum="md5:3bb6db55bd0c9ca30b61248bca72f8d6",
    ),
}
"""Weights that others published, by name.

Meta's file names end in the first six digits of the MD5; Meta states no more. The sha256 here are those with which
micro-sam (`micro_sam/util.py`) fetches the same addresses, and which the Git LFS records of the files' copies on
Hugging Face hold (mashb1t/misc, for one). MedSAM's authors link a Google Drive folder; the copy on Zenodo and its MD5
are those that the German Cancer Research Center uses for MITK (MIC-DKFZ/agent-sam, `samrunner/medsam_runner.py`).
"""


def names() -> tuple[str, ...]:
    """All names that `weights_path` knows."""
    return (*SHIPPED, *PUBLISHED)


def weights_path(path_or_name: str | Path) -> Path:
    """Where weights lie: the file of a known name, fetched into the cache folder if need be, or a path as it is.

    A name comes before a file of the same name in the working folder; `./sam_vit_b` is the file.

    Raises:
        ValueError: nothing is there and no such name is known, which lists the names; or the file of a name can
            neither be found nor fetched, which says where to put it.
    """
    name = str(path_or_name)
    if name in SHIPPED:
        return SHIPPED[name]
    if name in PUBLISHED:
        published = PUBLISHED[name]
        return fetch(published.url, cache_folder() / published.file_name, checksum=published.checksum)
    path = Path(path_or_name)
    if not path.exists():
        raise ValueError(
            f"Expected a checkpoint at {path}, but nothing is there; by name there is {', '.join(names())}."
        )
    return path
