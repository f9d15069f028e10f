"""Every protocol goes on after a kill and can be shared, with the results of one process that was not killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.splits import SampleDataset
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.protocols.automatic import AutomaticProtocol
from sam_ft.evaluation.protocols.instances import InstancesProtocol
from sam_ft.evaluation.protocols.interactive import InteractiveProtocol
from sam_ft.evaluation.protocols.request import EvaluationProtocol, Request
from sam_ft.evaluation.protocols.semantic import SemanticProtocol
from sam_ft.evaluation.protocols.volumes import VolumesProtocol
from sam_ft.evaluation.unfinished.shares import Shard
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.types import ImageEmbedding, Sample

NUM_IMAGES = 7


class Case(NamedTuple):
    """A protocol with something to measure."""

    protocol: EvaluationProtocol
    samples: SampleDataset
    classes: tuple[str, ...]
    kill_after: int  # images
    missing: int  # images of the batches that the kill leaves unfinished


def drawn() -> SampleDataset:
    val = Synthetic.splits(1, num_val=NUM_IMAGES, image_size=64).val
    assert val is not None
    return val


def volumes(folder: Path) -> NiftiSlices:
    """Four bright boxes, each in slices 2 to 4 of 6."""
    for number in range(4):
        label = np.zeros((20, 24, 6), dtype=np.uint8)
        label[2 + number : 12 + number, 5:17, 2:5] = 3
        noise = np.random.default_rng(number).integers(0, 40, label.shape)
        (folder / f"{number}").mkdir(parents=True)
        for name, voxels in (("image", 30 * label + noise), ("label", label)):
            image = nibabel.Nifti1Image(voxels.astype(np.int16), np.diag([0.8, 0.8, 3.0, 1.0]))
            nibabel.save(image, folder / f"{number}" / f"{name}.nii.gz")
    return NiftiSlices(str(folder / "*" / "image.nii.gz"), str(folder / "*" / "label.nii.gz"))


def interactive(folder: Path) -> Case:
    return Case(InteractiveProtocol((1, 2)), drawn(), (), 4, 3)


def automatic(folder: Path) -> Case:
    protocol = AutomaticProtocol(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    return Case(protocol, drawn(), (), 4, 3)


def semantic(folder: Path) -> Case:
    return Case(SemanticProtocol(), drawn(), ("ellipse", "nucleus", "polygon"), 4, 3)


def instances(folder: Path) -> Case:
    return Case(InstancesProtocol(), BoundarySamples(drawn(), boundary_px=2), ("interior", "boundary"), 4, 3)


def prompted_volumes(folder: Path) -> Case:
    """Killed within the third volume of three slices."""
    return Case(VolumesProtocol(save_volumes=True), volumes(folder), (), 8, 6)


def classified_volumes(folder: Path) -> Case:
    """Killed within the third volume of six slices, those without an object included."""
    return Case(VolumesProtocol(), volumes(folder), ("label_3",), 16, 12)


CASES = [interactive, automatic, semantic, instances, prompted_volumes, classified_volumes]


class Counted:
    """The image encoder of a model, which counts and fails once it has seen so many images."""

    def __init__(self, model: Sam, most: int) -> None:
        self.encode, self.most, self.count = model.encode_image, most, 0
        model.encode_image = self  # type: ignore[method-assign,assignment]

    def __call__(self, images: Tensor) -> ImageEmbedding:
        self.count += len(images)
        if self.count > self.most:
            raise RuntimeError("The machine stopped here.")
        return self.encode(images)


@pytest.fixture(params=CASES, ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return request.param(tmp_path / "data")


@pytest.fixture
def measure(case: Case, tmp_path: Path) -> Callable[..., int]:
    """Measures into a folder of a name, and gives the number of images that were encoded."""

    def measured(name: str, *, most: int = 10**6, **settings: Any) -> int:
        torch.manual_seed(0)
        model = build_model("vit_tiny", image_size=64)
        if case.classes:
            add_semantic_head(model, case.classes)
        counted = Counted(model, most)
        request = Request(model, case.samples, tmp_path / name, "title", "sam-ft evaluate", batch_size=2, pictures=3)
        request = replace(request, **settings)
        case.protocol(request)
        if not request.shard:
            case.protocol.journals(request).remove()
        return counted.count

    return measured


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_kill_interrupts_goes_on(case: Case, measure: Callable[..., int], tmp_path: Path) -> None:
    measure("whole", pictures=0)
    with pytest.raises(RuntimeError, match="stopped here"):
        measure("killed", most=case.kill_after, pictures=0)
    assert [path.name for path in (tmp_path / "killed").iterdir() if path.name != "volumes"] == ["unfinished"]
    assert measure("killed", pictures=0) == case.missing
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


def test_shares_in_any_order_give_the_files_of_one_process(
    case: Case, measure: Callable[..., int], tmp_path: Path
) -> None:
    whole = measure("whole")
    encoded = [measure("shared", shard=Shard(number, 3)) for number in (3, 1, 2)]
    assert all(encoded)
    assert [path.name for path in (tmp_path / "shared").iterdir() if path.name != "volumes"] == ["unfinished"]
    last = measure("shared")
    assert last < whole
    assert files_in(tmp_path / "shared") == files_in(tmp_path / "whole")


def test_what_was_measured_of_other_weights_is_measured_again(
    case: Case, measure: Callable[..., int], tmp_path: Path
) -> None:
    whole = measure("whole", pictures=0)
    with pytest.raises(RuntimeError, match="stopped here"):
        measure("killed", most=case.kill_after, pictures=0, about={"weights": "others"})
    assert measure("killed", pictures=0) == whole
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


@dataclass
class OfOneName:
    """Images that are read one by one, of which the first and the last have one name."""

    samples: SampleDataset

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        return replace(sample, name="the same") if index in (0, len(self) - 1) else sample


def of_one_name(case: Case) -> SampleDataset:
    if isinstance(case.samples, BoundarySamples):
        return BoundarySamples(OfOneName(case.samples.objects), boundary_px=2)
    return OfOneName(case.samples)


IMAGES = [interactive, automatic, semantic, instances]


@pytest.mark.parametrize("case", IMAGES, indirect=True, ids=lambda make: make.__name__)
def test_two_images_of_one_name_are_refused_when_what_was_measured_apart_is_joined(
    case: Case, measure: Callable[..., int]
) -> None:
    samples = of_one_name(case)
    for _ in range(2):
        with pytest.raises(ValueError, match="images of different names"):
            measure("alone", samples=samples, pictures=0)
    for number in (1, 2):
        measure("shared", samples=samples, pictures=0, shard=Shard(number, 4))
        measure("shared", samples=samples, pictures=0, shard=Shard(number + 2, 4))
    with pytest.raises(ValueError, match="images of different names"):
        measure("shared", samples=samples, pictures=0)
