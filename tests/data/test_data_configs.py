from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from sam_ft.data.mixture import MixtureSamples
from sam_ft.data.splits import DataSplits

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


def build(name: str, *overrides: str) -> DataSplits:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        splits = instantiate(compose(name, list(overrides)))
    assert isinstance(splits, DataSplits)
    return splits


def test_every_data_config_has_a_test() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {
        "nifti",
        "dicom",  # in dicom/test_config.py
        "tiff_stacks",
        "image_mask",
        "semantic_maps",
        "synthetic",
        "phantoms",
        "brain",
        "coco",
        "sa1b",
        "instance_folders",
        "boundaries",  # in ../train/test_unet.py
        "manifest",
        "nnunet",
        "msd",
        "medsam",
        "mixture",
    }


def test_nifti_config_builds_parts_of_volumes(nifti: Any) -> None:
    for case in "abc":
        nifti.save_case(case, np.ones((6, 6, 6), dtype=np.uint8))
    images, labels = nifti.patterns
    splits = build("nifti", f"images='{images}'", f"labels='{labels}'", "window=[40,400]", "slices=[0.0,0.5]")
    assert splits.test is not None
    assert len(splits.train) == len(splits.val) == len(splits.test) == 3
    splits = build("nifti", f"images='{images}'", f"labels='{labels}'", "split.val=[b]", "split.test=0",
                   "objects.kind=components", "objects.classes={cube: 1, all: [1, 2]}")  # fmt: skip
    assert splits.val[0].name == "b_axial_000" and splits.val[0].class_names == ("cube", "all")


def test_nifti_config_takes_slabs_instead_of_volumes(nifti: Any) -> None:
    nifti.save_case("a", np.ones((4, 4, 50), dtype=np.uint8))
    images, labels = nifti.patterns
    splits = build("nifti", "split=slabs", f"images='{images}'", f"labels='{labels}'", "split.test=null")
    assert len(splits.val) == 4 and len(splits.train) == 50 - 4 - 10


@pytest.mark.parametrize("channels", ["neighbours=2", "window=[[100,200],lung,null]", "three sequences"])
def test_nifti_config_shows_neighbours_windows_and_sequences_as_channels(nifti: Any, channels: str) -> None:
    for case in "abcde":
        nifti.save_case(case, np.ones((6, 6, 6), dtype=np.uint8))
        nifti.save(f"{case}/flair.nii.gz", np.arange(216, dtype=np.int16).reshape(6, 6, 6) + ord(case))
    images, labels = nifti.patterns
    given = [f"images='{images}'", channels]
    if channels == "three sequences":
        given = [f"images=['{images}','{nifti.folder}/*/flair.nii.gz','{images}']", "objects.kind=components_3d"]
    splits = build("nifti", f"labels='{labels}'", "split=folds", "split.fold=4", "cache.disk_gib=0", *given)
    assert len(splits.val) == 6 and len(splits.train) == 24 and splits.test is None
    image = splits.val[2].image
    assert not torch.equal(image[..., 0], image[..., 1]) and not torch.equal(image[..., 1], image[..., 2])


def test_brain_config_holds_out_slabs(nifti: Any) -> None:
    label = np.full((48, 100, 24), 1, dtype=np.uint8)
    label[:24] = 2
    nifti.save_case("brain", label)
    splits = build("brain", f"images={nifti.folder}/brain/image.nii.gz", f"labels={nifti.folder}/brain/label.nii.gz")
    assert splits.test is not None
    assert len(splits.val) == 3 and len(splits.test) == 9
    assert splits.val[0].class_names == ("grey", "white", "brain")


def test_semantic_maps_config_reads_a_root(tmp_path: Path) -> None:
    labels = np.array([[0, 3], [7, 255]], dtype=np.uint8)
    for kind, pixels in (("images", np.zeros((2, 2, 3), np.uint8)), ("labels", labels)):
        (tmp_path / kind).mkdir()
        for stem in "abc":
            Image.fromarray(pixels).save(tmp_path / kind / f"{stem}.png")
    splits = build("semantic_maps", f"root={tmp_path}", "classes={road: 3, car: [7, 8]}", "ignored=[255]")
    sample = splits.val[0]
    assert sample.class_names == ("road", "car")
    assert sample.ignored is not None and sample.ignored.tolist() == [[False, False], [False, True]]


def test_image_mask_config_reads_a_root(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for kind, pixels in (("images", np.zeros((4, 4, 3), np.uint8)), ("labels", np.ones((4, 4), np.uint8))):
            (tmp_path / part / kind).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / part / kind / "a.png")
    splits = build("image_mask", f"root={tmp_path}", "class_name=cell")
    assert splits.test is not None and splits.test[0].class_names == ("cell",)


def test_image_mask_config_shows_chosen_channels_in_a_range(tmp_path: Path) -> None:
    for kind, pixels in (("images", np.full((4, 4, 5), 2000, np.uint16)), ("labels", np.ones((4, 4), np.uint8))):
        (tmp_path / kind).mkdir()
        for stem in "abc":
            np.save(tmp_path / kind / f"{stem}.npy", pixels)
    splits = build("image_mask", f"root={tmp_path}", "channels=[4,3,2]", "range=[0,4000]", "stretch=false")
    assert splits.val[0].image.unique().tolist() == [128]


def test_tiff_stacks_config_reads_a_root(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for stem in "abc":
            tifffile.imwrite(tmp_path / kind / f"{stem}.tif", np.ones((2, 8, 8), np.uint16), photometric="minisblack")
    splits = build("tiff_stacks", f"root={tmp_path}", "axes=ZYX", "class_name=cell", "split.val=[b]", "range=[0,1]")
    assert splits.val[1].name == "b_001" and splits.val[1].class_names == ("cell",) and splits.val[1].image.min() == 255


def test_coco_config_reads_a_file_and_its_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    images = [{"id": number, "file_name": f"{number}.png", "height": 4, "width": 4} for number in range(3)]
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3]]}
        for number in range(3)
    ]
    for image in images:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "images" / str(image["file_name"]))
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "cells.json").write_text(json.dumps(content))
    splits = build("coco", f"root={tmp_path}", "annotations=cells.json", "categories=[cell]")
    assert splits.test is not None and splits.test[0].class_names == ("cell",)


def save(path: Path, value: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def test_sa1b_config_reads_a_root(tmp_path: Path) -> None:
    mask = {"id": 1, "segmentation": {"size": [4, 4], "counts": "04<"}}
    for name in "abc":
        save(tmp_path / f"{name}.png")
        described = {"image": {"height": 4, "width": 4}, "annotations": [mask]}
        (tmp_path / f"{name}.json").write_text(json.dumps(described))
    splits = build("sa1b", f"root={tmp_path}", "class_name=thing")
    assert splits.test is not None and splits.test[0].class_names == ("thing",) and splits.test[0].masks.sum() == 4


def test_instance_folders_config_reads_a_root(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / name / "images" / f"{name}.png")
        save(tmp_path / name / "objects" / "1.png")
    splits = build("instance_folders", f"root={tmp_path}", "masks=objects", "class_name=cell", "split.val=[b]")
    assert splits.val[0].name == "b" and splits.val[0].class_names == ("cell",)


def test_manifest_config_reads_a_table_with_columns_of_other_names(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    save(tmp_path / "label.png")
    (tmp_path / "cells.csv").write_text("file,mask,part\na.png,label.png,train\nb.png,label.png,val\n")
    splits = build("manifest", f"path={tmp_path}/cells.csv", "columns.image=file", "columns.split=part")
    assert splits.test is None and splits.val[0].name == "b" and len(splits.train) == 1


def test_nnunet_config_reads_a_root_and_published_folds(nifti: Any) -> None:
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "cube": 1}, "file_ending": ".nii.gz"}
    (nifti.folder / "dataset.json").write_text(json.dumps(described))
    for case in "abc":
        image = np.random.default_rng(list(case.encode())).integers(0, 99, (6, 6, 6)).astype(np.int16)
        nifti.save(f"imagesTr/{case}_0000.nii.gz", image)
        nifti.save(f"labelsTr/{case}.nii.gz", np.ones((6, 6, 6), np.uint8))
    splits = build("nnunet", f"root={nifti.folder}", "window=liver", "objects.kind=components")
    assert splits.test is not None and splits.test[0].class_names == ("cube",) and len(splits.train) == 6
    (nifti.folder / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))
    folds = build("nnunet", f"root={nifti.folder}", "split=nnunet_fold", f"split.file={nifti.folder}/splits_final.json")
    assert folds.val[0].name == "c_axial_000" and len(folds.train) == 12 and folds.test is None


def test_msd_config_reads_a_root(nifti: Any) -> None:
    for case in "abc":
        image = np.random.default_rng(list(case.encode())).integers(0, 99, (6, 6, 6)).astype(np.int16)
        nifti.save(f"imagesTr/{case}.nii.gz", image)
        nifti.save(f"labelsTr/{case}.nii.gz", np.ones((6, 6, 6), np.uint8))
    listed = [{part: f"./{part}sTr/{case}.nii.gz" for part in ("image", "label")} for case in "abc"]
    described = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}, "training": listed}
    (nifti.folder / "dataset.json").write_text(json.dumps(described))
    splits = build("msd", f"root={nifti.folder}", "split.val=[b]", "window=[40,400]", "neighbours=1")
    assert splits.val[0].name == "b_axial_000" and splits.val[0].class_names == ("spleen",)


def test_medsam_config_reads_a_root(tmp_path: Path) -> None:
    for seed, case in enumerate("abc"):
        imgs = np.random.default_rng(seed).integers(0, 255, (4, 6, 6)).astype(np.uint8)
        np.savez(tmp_path / f"{case}.npz", imgs=imgs, gts=np.ones((4, 6, 6), np.uint8), spacing=(1.0, 1.0, 5.0))
    splits = build("medsam", f"root={tmp_path}", "split.val=[b]", "axis=coronal", "objects.classes={liver: 1}")
    assert splits.val[0].name == "b_coronal_000" and splits.val[0].class_names == ("liver",)


def test_mixture_config_takes_other_data_configs_by_name(nifti: Any) -> None:
    nifti.save_case("a", np.ones((4, 4, 50), dtype=np.uint8))
    images, labels = nifti.patterns
    with initialize_config_dir(str(CONFIGS.parent), version_base=None):
        config = compose(
            "fit",
            [
                "data=mixture",
                "+data@data.sets.scans=nifti",
                "data/split@data.sets.scans.split=slabs",
                f"data.sets.scans.images='{images}'",
                f"data.sets.scans.labels='{labels}'",
                "+data@data.sets.shapes=synthetic",
                "data.sets.shapes.num_train=3",
                "data.weights={scans: 1, shapes: 3}",
                "data.epoch_images=8",
                "output=nowhere",
            ],
        )
    splits = instantiate(config.data)
    assert isinstance(splits.train, MixtureSamples) and isinstance(splits.test, MixtureSamples)
    assert {name: part.num_draws for name, part in splits.train.sets.items()} == {"scans": 2, "shapes": 6}
    assert splits.test.set_names == ("scans", "shapes")


@pytest.mark.parametrize("name", ["synthetic", "phantoms"])
def test_configs_of_drawn_images_build(name: str) -> None:
    assert len(build(name, "num_train=3", "image_size=32").train) == 3


@pytest.mark.parametrize(
    "name, missing",
    [
        ("nifti", {"images", "labels"}),
        ("dicom", {"images", "labels"}),
        ("tiff_stacks", {"root"}),
        ("image_mask", {"root"}),
        ("coco", {"root", "annotations"}),
        ("sa1b", {"root"}),
        ("instance_folders", {"root"}),
        ("manifest", {"path"}),
        ("nnunet", {"root"}),
        ("msd", {"root"}),
        ("medsam", {"root"}),
    ],
)
def test_only_what_must_be_given_is_missing(name: str, missing: set[str]) -> None:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        assert OmegaConf.missing_keys(compose(name)) == missing


def test_the_split_is_chosen_by_one_override_of_a_program(nifti: Any, tmp_path: Path) -> None:
    nifti.save_case("a", np.ones((4, 4, 50), dtype=np.uint8))
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "fit.yaml").write_text(
        f"hydra:\n  searchpath: [file://{CONFIGS.parent}]\ndefaults:\n  - data: synthetic\n  - _self_\n"
    )
    images, labels = nifti.patterns
    with initialize_config_dir(str(tmp_path / "program"), version_base=None):
        overrides = ["data=nifti", "data/split=slabs", f"data.images={images}", f"data.labels={labels}"]
        config = compose("fit", overrides)
    splits = instantiate(config.data)
    assert len(splits.val) == 4


@pytest.mark.data
def test_the_spinal_cord_command_builds_its_data(data_folder: Path) -> None:
    folder = data_folder / "volumes" / "spine_mri"
    splits = build("nifti", f"images={folder}/*/image.nii.gz", f"labels={folder}/*/label_cord.nii.gz")
    assert splits.test is not None
    volumes = [{sample.name.split("_axial")[0] for sample in part} for part in (splits.train, splits.val, splits.test)]
    assert [len(names) for names in volumes] == [4, 1, 1] and len(set.union(*volumes)) == 6
