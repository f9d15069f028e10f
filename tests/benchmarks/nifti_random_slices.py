"""Random axial slices of twenty `.nii.gz` volumes of 256 x 256 x 180, image and label, against three other ways.

Plain nibabel inflates a file from its beginning for each slice; MONAI's CacheDataset holds every volume in memory;
MedSAM reads a prepared file of 1024 x 1024 x 3 floats for each slice. Ours has a cache on the disk, filled by the first
turn, which is timed in a row of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import monai
import nibabel
import numpy as np
from nibabel import _compression
from scipy import ndimage

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.slices import SliceEntry
from sam_ft.types import Sample
from tests.benchmarks.comparing import Row, Timing, compare, measured, with_head
from tests.benchmarks.peer_process import PeerProcess

NAME = "nifti_random_slices"
SHAPE, NUM_VOLUMES = (256, 256, 180), 20
FOLDER = Path("runs/benchmarks") / NAME
WINDOW = (600.0, 1200.0)
NUM_PREPARED = 200

Planes = list[tuple[np.ndarray, np.ndarray]]
"""Image and label of some slices, (rows, columns) as the file stores them."""


def rows() -> list[Row]:
    """Speed against each of the three, and memory against the one that holds everything."""
    write_volumes(FOLDER / "volumes")
    dataset = open_dataset(FOLDER / "cache")
    places = random_places(dataset.entries, 40)
    volumes = [path_pair(volume.images[0].path, volume.label.path) for volume in dataset.volumes]
    with without_indexed_gzip():
        warm = compare(
            f"{NAME}/nibabel's dataobj",
            ours=lambda: our_planes(dataset, places),
            peer=lambda: planes_by_nibabel(volumes, places),
            peer_name=f"nibabel {nibabel.__version__}",
            agree=same_planes,
            at_least=10,
            timing=Timing(rounds=5, items=len(places), unit="slices/s"),
        )
        cold = against_nibabel_cold(volumes, dataset.entries)
    prepared = against_prepared_files(dataset)
    return [*with_head(NAME, [warm, prepared]), cold, *against_monai(dataset, places)]


def against_nibabel_cold(volumes: Sequence[tuple[Path, Path]], entries: Sequence[SliceEntry]) -> Row:
    """The first slices of a first run: the data set is opened, everything decoded and kept, nothing is there before."""
    places = random_places(entries, 200)

    def from_nothing() -> Planes:
        shutil.rmtree(FOLDER / "cold", ignore_errors=True)
        return our_planes(open_dataset(FOLDER / "cold"), places)

    row = compare(
        f"{NAME}/first 200 slices, cache empty",
        ours=from_nothing,
        peer=lambda: planes_by_nibabel(volumes, places),
        peer_name=f"nibabel {nibabel.__version__}",
        agree=same_planes,
        timing=Timing(rounds=1, items=len(places), unit="slices/s"),
    )
    shutil.rmtree(FOLDER / "cold")
    return row


def against_prepared_files(dataset: NiftiSlices) -> Row:
    """Whole samples of ours against MedSAM's, whose files hold the same slices, enlarged."""
    numbers = np.random.default_rng(1).choice(len(dataset), NUM_PREPARED, replace=False).tolist()
    prepare_files(FOLDER / "npy", dataset, numbers)
    order = np.random.default_rng(2).permutation(NUM_PREPARED).tolist()
    return compare(
        f"{NAME}/MedSAM's prepared .npy",
        ours=lambda: read_each(lambda place: dataset[numbers[place]], order),
        peer=lambda: read_each(lambda place: read_prepared(FOLDER / "npy", place), order),
        peer_name="MedSAM's NpyDataset, its reading",
        agree=lambda ours, theirs: same_samples(dataset, [numbers[place] for place in order], FOLDER / "npy", order),
        timing=Timing(rounds=5, items=NUM_PREPARED, unit="slices/s"),
    )


def against_monai(dataset: NiftiSlices, places: Sequence[SliceEntry]) -> list[Row]:
    """Speed, whatever it is, and the peak memory of a process for each."""
    np.save(FOLDER / "places.npy", [(place.volume, place.index) for place in places])
    name = f"MONAI {monai.__version__} CacheDataset"
    python, script = Path(sys.executable), Path(__file__).with_name("nifti_random_slices_memory.py")
    with (
        PeerProcess(python, script.with_name("nifti_random_slices_monai.py"), folder=FOLDER) as theirs,
        PeerProcess(python, script, folder=FOLDER) as ours,
    ):
        speed = compare(
            f"{NAME}/MONAI, all volumes in memory",
            ours=ours, peer=theirs, peer_name=name, at_least=0,
            agree=lambda one, other: all(np.array_equal(one[key], other[key]) for key in ("images", "labels")),
            timing=Timing(rounds=5, items=len(places), unit="slices/s"),
        )  # fmt: skip
        memory = measured(
            f"{NAME}/peak memory", ours=ours.peak_mib(), peer=theirs.peak_mib(), peer_name=name, unit="MiB",
            outputs_agree=speed.outputs_agree,
        )  # fmt: skip
    return [speed, memory]


def write_volumes(folder: Path) -> None:
    """Smooth noise and the two labels of its heights, int16, unless they are there already."""
    for number in range(NUM_VOLUMES):
        target = folder / f"{number:02d}"
        if (target / "label.nii.gz").is_file():
            continue
        target.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(number)
        coarse = random.standard_normal([length // 8 + 2 for length in SHAPE]).astype(np.float32)
        smooth = ndimage.zoom(coarse, [length / few for length, few in zip(SHAPE, coarse.shape, strict=True)], order=1)
        image = smooth * 300 + 600 + random.standard_normal(SHAPE).astype(np.float32) * 10
        label = (smooth > 1.2).astype(np.int16) + (smooth > 1.8)
        for name, voxels in (("image", image), ("label", label)):
            nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), np.eye(4)), target / f"{name}.nii.gz")


def open_dataset(cache: Path) -> NiftiSlices:
    volumes = FOLDER / "volumes"
    patterns = f"{volumes}/*/image.nii.gz", f"{volumes}/*/label.nii.gz"
    return NiftiSlices(*patterns, window=WINDOW, cache=SliceCache(folder=cache))


def random_places(entries: Sequence[SliceEntry], count: int) -> list[SliceEntry]:
    chosen = np.random.default_rng(0).choice(len(entries), count, replace=False)
    return [entries[number] for number in chosen]


def path_pair(image: Path, label: Path) -> tuple[Path, Path]:
    return image, label


def our_planes(dataset: NiftiSlices, places: Sequence[SliceEntry]) -> Planes:
    found = []
    for place in places:
        volume = dataset.volumes[place.volume]
        image = volume.images[0].plane(place.index, cache=dataset.cache)
        found.append((image, volume.label.plane(place.index, cache=dataset.cache)))
    return found


def planes_by_nibabel(volumes: Sequence[tuple[Path, Path]], places: Sequence[SliceEntry]) -> Planes:
    """The slices turned as ours: these files are RAS, so rows run down from the last voxel, columns from the last."""
    found = []
    for place in places:
        image, label = (nibabel.load(path).dataobj[..., place.index] for path in volumes[place.volume])
        found.append((image[::-1, ::-1].T, label[::-1, ::-1].T))
    return found


def same_planes(ours: Planes, theirs: Planes) -> bool:
    return all(
        np.array_equal(one, other)
        for our_pair, their_pair in zip(ours, theirs, strict=True)
        for one, other in zip(our_pair, their_pair, strict=True)
    )


@contextmanager
def without_indexed_gzip() -> Iterator[None]:
    """nibabel as the project's own environment has it, also where the package lies around."""
    before = _compression.HAVE_INDEXED_GZIP
    _compression.HAVE_INDEXED_GZIP = False
    try:
        yield
    finally:
        _compression.HAVE_INDEXED_GZIP = before


def prepare_files(folder: Path, dataset: NiftiSlices, numbers: Sequence[int]) -> None:
    """What MedSAM's pre_CT_MR.py and its README make of slices: (1024, 1024, 3) floats from 0 to 1 and uint8 labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, number in enumerate(numbers):
        if (folder / f"label{place}.npy").is_file():
            continue
        sample = dataset[number]
        label = np.zeros(sample.image.shape[:2], dtype=np.uint8)
        for name, mask in zip(sample.class_names, sample.masks.numpy(), strict=True):
            label[mask] = int(name.removeprefix("label_"))
        enlarge = 1024 // label.shape[0]
        picture = (sample.image.numpy() / np.float32(255)).astype(np.float32)
        np.save(folder / f"image{place}.npy", picture.repeat(enlarge, axis=0).repeat(enlarge, axis=1))
        np.save(folder / f"label{place}.npy", label.repeat(enlarge, axis=0).repeat(enlarge, axis=1))


def read_prepared(folder: Path, place: int) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"image{place}.npy"), np.load(folder / f"label{place}.npy")


def read_each(read: Callable[[int], object], places: Sequence[int]) -> None:
    """Nothing is kept: two hundred prepared slices are gigabytes."""
    for place in places:
        read(place)


def same_samples(dataset: NiftiSlices, numbers: Sequence[int], folder: Path, places: Sequence[int]) -> bool:
    return all(
        same_sample(dataset[number], *read_prepared(folder, place))
        for number, place in zip(numbers, places, strict=True)
    )


def same_sample(sample: Sample, image: np.ndarray, label: np.ndarray) -> bool:
    step = 1024 // sample.image.shape[0]
    masks = [label[::step, ::step] == int(name.removeprefix("label_")) for name in sample.class_names]
    same_masks = all(np.array_equal(mask, other) for mask, other in zip(masks, sample.masks.numpy(), strict=True))
    return same_masks and np.array_equal(np.rint(image[::step, ::step] * 255), sample.image.numpy())
