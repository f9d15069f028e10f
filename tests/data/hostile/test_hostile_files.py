"""Files that are empty, cut, damaged or made to do harm: each is a `ValueError` that names it, soon, in little memory.

All files are read in one process, whose memory is measured; what came of each group is one test.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from sam_ft.data.coco import CocoSamples
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.mixture import MixtureSamples, SetPart
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.sa1b import Sa1bSamples
from sam_ft.data.splits import SampleDataset
from sam_ft.types import Sample
from tests.data.hostile import images, texts, volumes
from tests.data.hostile.case import Case, make_pipe
from tests.data.hostile.child import all_cases, outcome_of

ROOT = Path(__file__).parents[3]
GROUPS = Counter(case.group for case in all_cases())
MOST_SECONDS = 1.0
MOST_MIB = 200


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of all files in a process of their own."""
    command = [sys.executable, "-m", "tests.data.hostile.child", str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_there_are_hundreds_of_files_that_cannot_be_good() -> None:
    assert sum(not case.may_be_read for case in all_cases()) > 500


@pytest.mark.parametrize("group", GROUPS)
def test_every_hostile_file_is_refused_by_its_name_and_a_reason(outcomes: dict[str, Any], group: str) -> None:
    found = [outcome for outcome in outcomes["outcomes"] if outcome["group"] == group]
    assert len(found) == GROUPS[group]
    for each in found:
        if each["error"] is None and each["may_be_read"]:
            continue
        assert each["error"] == "ValueError", each
        reason = each["message"].replace(each["path"], "")
        assert each["path"] in each["message"] and 30 < len(reason) < 1000, each


@pytest.mark.parametrize("group", GROUPS)
def test_no_hostile_file_takes_long(outcomes: dict[str, Any], group: str) -> None:
    found = [each for each in outcomes["outcomes"] if each["group"] == group]
    times = {each["name"]: (each["seconds"], each["elapsed"]) for each in found}
    assert {name: both for name, both in times.items() if max(both) > MOST_SECONDS} == {}


def test_a_file_that_is_waited_for_takes_time_too(tmp_path: Path) -> None:
    waiting = Case("waiting", "a sleep", "a.bin", b"", read=lambda path: time.sleep(0.3))
    outcome = outcome_of(waiting, tmp_path)
    assert outcome.seconds < 0.2 and outcome.elapsed > 0.25


def test_no_hostile_file_takes_much_memory(outcomes: dict[str, Any]) -> None:
    grown = sorted(outcomes["outcomes"], key=lambda each: each["grown_mib"])
    assert outcomes["peak_mib"] - outcomes["idle_mib"] < MOST_MIB, [(e["group"], e["name"]) for e in grown[-3:]]


def bad_png(folder: Path, content: bytes | None) -> SampleDataset:
    """Three images, of which the second is bad; None: a pipe."""
    for kind, pixels in (("images", images.PIXELS), ("labels", images.LABELS)):
        (folder / kind).mkdir()
        for name in "abc":
            Image.fromarray(pixels).save(folder / kind / f"{name}.png")
    samples = ImageMaskFolder(folder / "images", folder / "labels")
    bad = folder / "images" / "b.png"
    bad.unlink()
    if content is None:
        make_pipe(bad)
    else:
        bad.write_bytes(content)
    return samples


def bad_sa1b(folder: Path) -> SampleDataset:
    for name in "abc":
        texts.save_image(folder / f"{name}.png")
        counts = [-5, 24 * 24 + 5] if name == "b" else [0, 24 * 24]
        (folder / f"{name}.json").write_bytes(texts.dumped(texts.sa1b(texts.rle(counts))))
    return Sa1bSamples(folder)


def bad_coco(folder: Path) -> SampleDataset:
    content = texts.coco(segmentation=[[0, 0, 1e6, 1, 1, 1e6]] * 300)
    texts.save_image(folder / "a.png")
    (folder / "bad.json").write_bytes(texts.dumped(content))
    return CocoSamples(folder / "bad.json", folder)


def bad_volume(folder: Path) -> SampleDataset:
    for name in "abc":
        (folder / name).mkdir()
        content = volumes.saved(volumes.VOXELS.astype(np.int16))
        (folder / name / "label.nii").write_bytes(content)
        path = folder / name / "image.nii"
        path.write_bytes(content)
        if name == "b":
            path.unlink()
            volumes.write_bomb(path.with_suffix(".nii.gz"), start=content)
        else:
            path.with_suffix(".nii.gz").write_bytes(volumes.gzip.compress(content))
            path.unlink()
    return NiftiSlices(f"{folder}/*/image.nii.gz", f"{folder}/*/label.nii")


def a_mixture(folder: Path) -> SampleDataset:
    """Of a bad set and a good one."""
    (folder / "good").mkdir()
    (folder / "bad").mkdir()
    texts.save_image(folder / "good" / "a.png")
    (folder / "good" / "a.json").write_bytes(texts.dumped(texts.sa1b()))
    return MixtureSamples({"good": SetPart(Sa1bSamples(folder / "good")), "bad": SetPart(bad_sa1b(folder / "bad"))})


IN_A_LOADER: dict[str, tuple[Callable[[Path], SampleDataset], str]] = {
    "an image that is cut": (lambda folder: bad_png(folder, images.GOOD["png"][:900]), "images/b.png"),
    "an image that promises too much": (lambda folder: bad_png(folder, images.png(13000, 13000)), "images/b.png"),
    "a bomb": (lambda folder: bad_png(folder, images.png(60000, 60000)), "images/b.png"),
    "a pipe": (lambda folder: bad_png(folder, None), "images/b.png"),
    "a negative count": (bad_sa1b, "b.json"),
    "endless outlines": (bad_coco, "bad.json"),
    "a volume that inflates to far more": (bad_volume, "b/image.nii.gz"),
    "a mixture": (a_mixture, "bad/b.json"),
}


def as_it_is(batch: list[Sample]) -> list[Sample]:
    return batch


def message_of_a_loader(samples: SampleDataset) -> str:
    """What two workers raise; not the error itself, whose traceback would keep them."""
    loader: Any = DataLoader(samples, num_workers=2, collate_fn=as_it_is, timeout=60)  # type: ignore[arg-type]
    try:
        list(loader)
    except ValueError as err:
        return str(err)
    pytest.fail("the file was read")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", IN_A_LOADER)
def test_a_hostile_file_ends_a_loader_with_its_name_and_no_worker_is_left(tmp_path: Path, name: str) -> None:
    make, file = IN_A_LOADER[name]
    assert f"{tmp_path}/{file}" in message_of_a_loader(make(tmp_path))
    gc.collect()
    for process in multiprocessing.active_children():
        process.join(timeout=20)
    assert multiprocessing.active_children() == []
