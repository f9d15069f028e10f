"""Miniature copies of what the data sets are published as, and a server that has them."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import runpy
import shlex
import shutil
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from PIL import Image

from sam_ft.cli import find_configs, find_program
from sam_ft.data.preparing.preparation import Order, prepare
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.data.preparing.record import Record
from sam_ft.data.splits import DataSplits
from sam_ft.download import Patience
from tests.train.conftest import _as_before, sam_ft  # noqa: F401  (fixtures: the programs as a user calls them)

QUICK = Patience(timeout_s=5, retries=2, pause_s=0.001)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the real data sets need, whatever the disk of the machine that runs the tests has left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**13))


# Pictures and volumes


def picture(height: int = 24, width: int = 32, *, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def box(top: int, left: int, bottom: int, right: int, *, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    mask = np.zeros(size, dtype=np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def encoded(pixels: np.ndarray, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 95} if kind == "jpeg" else {}))
    return buffer.getvalue()


def paletted(indices: np.ndarray) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def volume(voxels: np.ndarray, folder: Path) -> bytes:
    path = folder / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.5, 1.5, 8.0, 1.0])), path)
    content = path.read_bytes()
    path.unlink()
    return content


# Published files


def zipped(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def tarred(path: Path, files: dict[str, bytes], *, mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def nuclei(folder: Path) -> None:
    wide = np.repeat(np.cumsum(RNG.normal(0, 20, (24, 64)), axis=0)[..., None] % 200, 4, axis=-1)
    wide = np.cumsum(np.abs(RNG.normal(0, 3, (24, 64))), axis=1) + np.linspace(0, 90, 24)[:, None]
    wide = np.repeat(wide.clip(0, 255).astype(np.uint8)[..., None], 4, axis=-1)
    tiles = {"left": wide[:, :32], "right": wide[:, 32:]}
    images = tiles | {f"image{number}": picture(channels=4) for number in range(8)}
    train: dict[str, bytes] = {}
    for name, pixels in images.items():
        train[f"{name}/images/{name}.png"] = encoded(pixels)
        train[f"{name}/masks/a.png"] = encoded(box(2, 2, 8, 8))
        train[f"{name}/masks/b.png"] = encoded(box(6, 6, 14, 14))  # overlaps the first by 4 pixels
    zipped(folder / "stage1_train.zip", train)
    zipped(folder / "stage1_test.zip", {f"{name}/images/{name}.png": encoded(picture(channels=4)) for name in "xy"})
    rows = ["x,1 3 25 3,24,32,Private", "x,49 2,24,32,Private", "y,100 5,24,32,Public", "z,1 1,24,32,Ignored"]
    lines = ["ImageId,EncodedPixels,Height,Width,Usage", *rows]
    (folder / "stage1_solution.csv").write_text("\n".join(lines) + "\n")


def camvid(folder: Path) -> None:
    labels = np.zeros((24, 32, 3), dtype=np.uint8)  # void
    labels[:8] = (128, 128, 128)  # sky
    labels[8:16, :16] = (192, 128, 192)  # a lorry, which counts as a car
    names = ("0001TP_006690", "0016E5_00390", "0016E5_07959", "0006R0_f00930", "Seq05VD_f00000")
    stills = {f"701_StillsRaw_full/{name}.png": encoded(picture()) for name in names}
    zipped(folder / "701_StillsRaw_full.zip", stills)
    zipped(folder / "LabeledApproved_full.zip", {f"{name}_L.png": encoded(labels) for name in names})


def acdc(folder: Path) -> None:
    labels = np.zeros((12, 12, 3), dtype=np.uint8)
    labels[1:5, 1:6], labels[5:11, 1:6], labels[1:6, 6:11] = 1, 2, 3
    truth = volume(labels, folder)
    files: dict[str, bytes] = {}
    numbers = [*range(1, 11), 101]
    for number, group in zip(numbers, ["DCM", "HCM", "MINF", "NOR", "RV"] * 2 + ["DCM"], strict=True):
        patient = f"ACDC/database/{'testing' if number > 100 else 'training'}/patient{number:03d}"
        name = f"{patient}/patient{number:03d}"
        files[f"{patient}/Info.cfg"] = f"ED: 1\nES: 12\nGroup: {group}\nHeight: 184.0\n".encode()
        for frame in ("01", "12"):
            image = volume(RNG.normal(100, 20, labels.shape).astype(np.int16), folder)
            files[f"{name}_frame{frame}.nii.gz"], files[f"{name}_frame{frame}_gt.nii.gz"] = image, truth
        files[f"{name}_4d.nii.gz"] = image
    zipped(folder / "ACDC.zip", files)


def spleen(folder: Path) -> None:
    labels = np.zeros((12, 12, 4), dtype=np.uint8)
    labels[2:8, 2:8, 1:3] = 1
    names = [f"spleen_{number}" for number in (2, 3, 6, 8, 9)]
    listed = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    top = "Task09_Spleen"
    files = {
        f"{top}/dataset.json": json.dumps({"labels": {"0": "background", "1": "spleen"}, "training": listed}).encode()
    }
    for name in names:
        files[f"{top}/imagesTr/._{name}.nii.gz"] = b"Mac OS X"
        files[f"{top}/imagesTr/{name}.nii.gz"] = volume(RNG.normal(0, 300, labels.shape).astype(np.int16), folder)
        files[f"{top}/labelsTr/{name}.nii.gz"] = volume(labels, folder)
    files[f"{top}/imagesTs/spleen_1.nii.gz"] = files[f"{top}/imagesTr/spleen_2.nii.gz"]
    tarred(folder / "Task09_Spleen.tar", files)


def drive(folder: Path) -> None:
    view, vessels = box(2, 2, 22, 30), box(4, 4, 6, 28)
    for part, numbers in (("training", range(21, 27)), ("test", range(1, 3))):
        files: dict[str, bytes] = {}
        for number in (f"{number:02d}" for number in numbers):
            files[f"{part}/images/{number}_{part}.tif"] = encoded(picture(), "tiff")
            files[f"{part}/1st_manual/{number}_manual1.gif"] = encoded(vessels, "gif")
            files[f"{part}/mask/{number}_{part}_mask.gif"] = encoded(view, "gif")
        zipped(folder / f"{part}.zip", files)


def kvasir(folder: Path) -> None:
    mask = np.maximum(box(4, 4, 20, 20, size=(40, 48)), box(22, 24, 38, 44, size=(40, 48)))
    mask[0:2, 45:47] = 255  # a speck
    files = {}
    for number in range(10):
        files[f"Kvasir-SEG/images/cju{number}.jpg"] = encoded(picture(40, 48), "jpeg")
        files[f"Kvasir-SEG/masks/cju{number}.jpg"] = encoded(np.repeat(mask[..., None], 3, axis=-1), "jpeg")
    zipped(folder / "kvasir-seg.zip", files | {"Kvasir-SEG/kavsir_bboxes.json": b"{}"})


def davis(folder: Path) -> None:
    indices = (box(2, 2, 8, 8) > 0) * 1 + (box(10, 10, 20, 20) > 0) * 2
    files = {"DAVIS/ImageSets/2017/train.txt": b"bear\ncamel\n", "DAVIS/ImageSets/2017/val.txt": b"libby\n"}
    for sequence in ("bear", "camel", "libby"):
        for frame in ("00000", "00001"):
            files[f"DAVIS/JPEGImages/480p/{sequence}/{frame}.jpg"] = encoded(picture(), "jpeg")
            files[f"DAVIS/Annotations/480p/{sequence}/{frame}.png"] = paletted(indices)
    zipped(folder / "DAVIS-2017-trainval-480p.zip", files)


def instances(names: list[str]) -> bytes:
    """COCO's annotations: a triangle and a square in each image."""
    shapes = {1: [2, 2, 12, 2, 2, 12], 3: [14, 4, 24, 4, 24, 14, 14, 14]}
    images = [{"id": 7 + i, "file_name": name, "height": 24, "width": 32, "license": 4} for i, name in enumerate(names)]
    annotations = [
        {"id": 10 * image["id"] + kind, "image_id": image["id"], "category_id": kind, "segmentation": [polygon],
         "bbox": [polygon[0], polygon[1], 10, 10], "area": 50.0 * kind, "iscrowd": 0}
        for image in images for kind, polygon in shapes.items()
    ]  # fmt: skip
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()


def coco(folder: Path) -> None:
    names = [f"{number:012d}.jpg" for number in range(139, 149)]
    zipped(folder / "val2017.zip", {f"val2017/{name}": encoded(picture(), "jpeg") for name in names})
    files = {
        "annotations/instances_val2017.json": instances(names),
        "annotations/instances_train2017.json": b"not read",
    }
    zipped(folder / "annotations_trainval2017.zip", files)


def livecell(folder: Path) -> None:
    names = {part: [f"A172_Phase_{part}_{number}.tif" for number in range(3)] for part in ("train", "val", "test")}
    files = {}
    for part, images in names.items():
        place = "livecell_test_images" if part == "test" else "livecell_train_val_images"
        for name in images:
            files[f"images/{place}/A172/{name}"] = encoded(picture()[..., 0], "tiff")
        (folder / f"livecell_coco_{part}.json").write_bytes(instances([f"A172/{name}" for name in images]))
    zipped(folder / "images.zip", files)


def trashcan(folder: Path) -> None:
    names = {"train": [f"vid_00000{video}_frame000000{video}.jpg" for video in range(1, 7)]}
    names["val"] = ["vid_000001_frame0000099.jpg", "vid_000009_frame0000001.jpg"]
    files = {}
    for part, images in names.items():
        for version in ("instance_version", "material_version"):
            files |= {f"dataset/{version}/{part}/{name}": encoded(picture(), "jpeg") for name in images}
            files[f"dataset/{version}/instances_{part}_trashcan.json"] = instances(images)
    zipped(folder / "dataset.zip", files)


def shards(folder: Path) -> None:
    for shard in range(3):
        files = {}
        for number in range(5 * shard + 1, 5 * shard + 6):
            name = f"sa_{number}"
            mask = {"segmentation": {"size": [24, 32], "counts": "T3b1Zc0"}, "area": 50, "id": number}  # 100, 50, 618
            image = {"image_id": number, "width": 32, "height": 24, "file_name": f"{name}.jpg"}
            files[f"{name}.jpg"] = encoded(picture(), "jpeg")
            files[f"{name}.json"] = json.dumps({"image": image, "annotations": [mask]}).encode()
        tarred(folder / f"sa_{shard:06d}.tar", files)


MINIATURES: dict[str, Callable[[Path], None]] = {
    "acdc": acdc,
    "camvid": camvid,
    "coco_val2017": coco,
    "davis2017": davis,
    "drive": drive,
    "kvasir_seg": kvasir,
    "livecell": livecell,
    "msd_task09_spleen": spleen,
    "nuclei": nuclei,
    "sa1b": shards,
    "trashcan": trashcan,
}


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], Path]:
    """Name of a recipe -> a folder of the files that its data set is published as, in miniature."""

    def write(name: str) -> Path:
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True)
        MINIATURES[name](folder)
        return folder

    return write


# Recipes


@pytest.fixture(scope="session")
def recipes() -> dict[str, Recipe]:
    """All recipes, as the program finds them."""
    return runpy.run_path(str(find_program("prepare")))["load_recipes"]()


def with_checksums(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the sizes of the miniature files, and with their checksums where there are some."""
    recipe = replace(recipe, files=tuple(replace(file, megabytes=0.1) for file in recipe.files), unpacked_mb=1)
    return replace(
        recipe,
        files=tuple(
            replace(file, checksum=f"sha256:{hashlib.sha256((folder / file.name).read_bytes()).hexdigest()}")
            if file.checksum
            else file
            for file in recipe.files
        ),
    )


@dataclass(frozen=True)
class Kitchen:
    """Prepares miniatures."""

    recipes: dict[str, Recipe]
    published: Callable[[str], Path]
    output: Path

    def prepare(self, name: str, *sources: Path, limit: int | None = None) -> Record:
        """From sources; without any, from the published files in one folder."""
        folder = None if sources else self.published(name)
        recipe = self.recipes[name] if folder is None else with_checksums(self.recipes[name], folder)
        return prepare(recipe, Order(self.output, sources=sources or (folder,), limit=limit))  # type: ignore[arg-type]


@pytest.fixture
def kitchen(recipes: dict[str, Recipe], published: Callable[[str], Path], tmp_path: Path) -> Kitchen:
    return Kitchen(recipes, published, tmp_path / "prepared")


def read_back(record: Record) -> DataSplits:
    """What the printed command would train on."""
    words = shlex.split(record.fit_command)
    assert words[:2] == ["sam-ft", "fit"]
    try:
        with initialize_config_dir(str(find_configs()), version_base="1.3"):
            return instantiate(compose("fit", words[2:]).data)
    finally:
        GlobalHydra.instance().clear()


@pytest.fixture
def read() -> Callable[[Record], DataSplits]:
    """Reads a prepared data set as the printed command would."""
    return read_back


@pytest.fixture
def evaluated(sam_ft: Callable[..., Any], tmp_path: Path) -> Callable[..., dict[str, float]]:  # noqa: F811
    """(record, part) -> the summary of `sam-ft evaluate` on that part, after one step of the printed command."""

    def evaluate(record: Record, part: str) -> dict[str, float]:
        fitted = sam_ft(
            *shlex.split(record.fit_command)[1:], "model=vit_tiny", "model.image_size=64", f"output={tmp_path / 'run'}",
            "trainer.accelerator=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1", "loader.num_workers=0",
            "monitoring.wandb=disabled", "monitoring.pictures=0",
        )  # fmt: skip
        assert fitted.code == 0, fitted.err
        done = sam_ft(
            "evaluate", f"checkpoint={tmp_path / 'run' / 'best.ckpt'}", f"output={tmp_path / 'evaluation'}",
            f"part={part}", "pictures=0", "batch_size=1",
        )  # fmt: skip
        assert done.code == 0, done.err
        summary: dict[str, float] = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
        return summary

    return evaluate


# A server


@dataclass
class Behaviour:
    """How the server treats its files."""

    breaks_off: bool = False  # the first answer for each file stops half-way
    pause_s: float = 0.0  # before each sixteenth of a file
    instead: bytes | None = None  # what is sent for every file
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    folder: Path
    behaviour: Behaviour

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        content = self.behaviour.instead or (self.folder / name).read_bytes()
        is_first = name not in self.behaviour.asked
        self.behaviour.asked.append(name)
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{zlib.crc32(content):08x}"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        stop = len(content) // 2 if self.behaviour.breaks_off and is_first else len(content)
        step = max(len(content) // 16, 1)
        for begin in range(start, stop, step):
            time.sleep(self.behaviour.pause_s)
            self.wfile.write(content[begin : min(begin + step, stop)])

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Site:
    """A publisher on the loopback."""

    url: str
    behaviour: Behaviour

    def recipe(self, recipe: Recipe, folder: Path) -> Recipe:
        """The recipe with its files here, and with their checksums where there is one."""
        moved = with_checksums(recipe, folder)
        return replace(
            moved, files=tuple(replace(file, url=f"{self.url}/{file.name}") for file in moved.files), by_hand=""
        )


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """(folder, **behaviour) -> a server that has its files."""
    monkeypatch.setenv("no_proxy", "*")
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path, **behaviour: object) -> Site:
        treats = Behaviour(**behaviour)  # type: ignore[arg-type]
        handler = type("Served", (Handler,), {"folder": folder, "behaviour": treats})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        servers[-1].daemon_threads = True
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return Site(f"http://127.0.0.1:{servers[-1].server_port}", treats)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
