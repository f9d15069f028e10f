"""Every YAML of the tree composes, and what it names can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_ft.data.balance import ClassBalance
from sam_ft.data.folds import FoldSplit
from sam_ft.data.nnunet.folds import NnunetFold
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.evaluation.protocols.automatic import AutomaticProtocol
from sam_ft.evaluation.protocols.instances import InstancesProtocol
from sam_ft.evaluation.protocols.interactive import InteractiveProtocol
from sam_ft.evaluation.protocols.semantic import SemanticProtocol
from sam_ft.evaluation.protocols.volumes import VolumesProtocol
from sam_ft.lightning import EmbeddingCacheSettings, Monitoring, Recipe, SemanticMonitoring
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.schedules import Cosine, Plateau, Steps
from sam_ft.lightning.tasks import TASKS
from sam_ft.losses.segmentation import SegmentationLoss
from sam_ft.losses.semantic import SemanticLoss
from sam_ft.models.adapt.adapter import Adapters
from sam_ft.models.adapt.choices import ADAPT
from sam_ft.models.adapt.freeze import TrainNormsAndBiases, TrainParts
from sam_ft.models.adapt.hq import HighQuality
from sam_ft.models.adapt.lora import Lora
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import VARIANTS, build_model
from sam_ft.prompts.presets import InteractivePreset, Mixture

CONFIGS = Path(__file__).parents[2] / "configs"
BUILDS: dict[str, type | tuple[type, ...]] = {
    "prompts": (InteractivePreset, Mixture),
    "adapt": (TrainParts, TrainNormsAndBiases, Lora, Adapters, HighQuality),
    "loss": (SegmentationLoss, SemanticLoss),
    "optimiser": OptimiserSettings,
    "loader": LoaderSettings,
    "memory": MemorySettings,
    "monitoring": (Monitoring, SemanticMonitoring),
}
PROTOCOLS = {
    "automatic": AutomaticProtocol,
    "instances": InstancesProtocol,
    "interactive": InteractiveProtocol,
    "segment_anything_fast": InteractiveProtocol,
    "semantic": SemanticProtocol,
    "volumes": VolumesProtocol,
}
MEASURED = ("checkpoint=a", "output=b")
COMPOSED_ONLY = {
    "data",
    "data/split",
    "experiment",
    "model",
    "optimiser/schedule",
    "task",
    "protocol",
    "trainer",
    "embedding_cache",
    "loader/balance",
}  # each has a test of its own below
PROGRAMS = {"doctor", "fit", "evaluate", "forgetting", "program"}
NEEDED = ["data.images=a.nii.gz", "data.labels=b.nii.gz"]
DATA = {
    "synthetic": [],
    "phantoms": [],
    "brain": [],
    "nifti": NEEDED,
    "dicom": NEEDED,
    "tiff_stacks": ["data.root=a"],
    "image_mask": ["data.root=a"],
    "semantic_maps": ["data.root=a"],
    "coco": ["data.root=a", "data.annotations=b.json"],
    "sa1b": ["data.root=a"],
    "instance_folders": ["data.root=a"],
    "manifest": ["data.path=a.csv"],
    "nnunet": ["data.root=a"],
    "msd": ["data.root=a"],
    "medsam": ["data.root=a"],
    "mixture": [],
    "boundaries": [],
}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def composed(program: str, *overrides: str) -> DictConfig:
    """Into a fixed folder, since the default's name needs the clock that Hydra adds when a program runs."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(program, [*overrides, *(["output=runs/test"] if program == "fit" else [])])


def plain(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def test_no_yaml_is_left_out() -> None:
    groups = {str(path.parent.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml")}
    assert groups == {".", *BUILDS, *COMPOSED_ONLY}
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == PROGRAMS
    assert set(names("data")) == DATA.keys()


@pytest.mark.parametrize("group, name", [(group, name) for group in BUILDS for name in names(group)])
def test_every_choice_builds_what_its_group_is_for(group: str, name: str) -> None:
    config = composed("fit", "data=synthetic", f"{group}={name}")
    assert isinstance(instantiate(config[group]), BUILDS[group])


def test_a_recipe_takes_everything_as_the_configs_build_it() -> None:
    config = composed("fit", "data=synthetic")
    recipe = Recipe(
        **{group: instantiate(config[group]) for group in ("prompts", "loss", "optimiser", "loader", "memory")}
    )
    assert recipe.optimiser.betas == (0.9, 0.999)
    assert instantiate(config.monitoring).metric == "miou@1"


def test_every_task_composes_what_it_needs() -> None:
    assert set(names("task")) == TASKS.keys()
    prompts, semantic = (composed("fit", "data=synthetic", f"task={name}") for name in ("prompts", "semantic"))
    assert composed("fit", "data=synthetic") == prompts
    assert (prompts.task, prompts.classes, semantic.task, semantic.classes) == ("prompts", None, "semantic", "auto")
    assert TASKS["prompts"].recipe_of(prompts) == Recipe(
        **{group: instantiate(prompts[group]) for group in ("prompts", "loss", "optimiser", "loader")}
    )
    assert TASKS["semantic"].recipe_of(semantic).loss == SemanticLoss()
    assert instantiate(semantic.monitoring) == SemanticMonitoring()
    unet = composed("fit", "data=synthetic", "task=unet")
    assert (unet.task, unet.classes, unet.model.name, unet.optimiser.lr) == ("unet", "auto", "unet", 1e-3)
    assert instantiate(unet.monitoring) == SemanticMonitoring() and instantiate(unet.loss) == SemanticLoss()
    assert instantiate(unet.loader) == instantiate(semantic.loader)


def test_embeddings_are_cached_where_a_folder_is_named() -> None:
    for task in ("prompts", "semantic"):
        given = ["data=synthetic", f"task={task}"]
        assert TASKS[task].recipe_of(composed("fit", *given)).embedding_cache is None
        assert TASKS[task].recipe_of(composed("fit", *given, "~embedding_cache")).embedding_cache is None
        cached = composed("fit", *given, "embedding_cache.folder=rows", "embedding_cache.views=2")
        assert TASKS[task].recipe_of(cached).embedding_cache == EmbeddingCacheSettings("rows", views=2)
        for setting in ("views=2", "dtype=bfloat16"):
            with pytest.raises(ValueError, match="embedding_cache.folder beside"):
                TASKS[task].recipe_of(composed("fit", *given, f"embedding_cache.{setting}"))


def test_a_loss_of_another_task_is_refused() -> None:
    for task, loss in (("semantic", "sam"), ("prompts", "semantic")):
        with pytest.raises(ValueError, match=f"task={task}"):
            TASKS[task].recipe_of(composed("fit", "data=synthetic", f"task={task}", f"loss={loss}"))


def test_every_model_has_a_config_of_its_name_and_default_size() -> None:
    assert set(names("model")) == {*VARIANTS, "unet"}
    for name in VARIANTS:
        config = plain(composed("fit", "data=synthetic", f"model={name}").model)
        with torch.device("meta"):
            model = build_model(config["name"])
        untouched = {"weights": None, "drop_path": 0.0, "drawn_prompts": False}
        assert config == {"name": name, "image_size": model.image_size, **untouched}


def test_every_choice_of_what_is_trained_is_the_one_of_its_name() -> None:
    assert set(names("adapt")) == ADAPT.keys()
    for name, expected in ADAPT.items():
        assert instantiate(composed("fit", "data=synthetic", f"adapt={name}").adapt) == expected


def test_the_choices_take_settings() -> None:
    overrides = ["adapt=lora", "adapt.rank=4", "adapt.dora=true", "adapt.beside=[]"]
    assert instantiate(composed("fit", "data=synthetic", *overrides).adapt) == Lora(rank=4, dora=True, beside=())


@pytest.mark.parametrize("name, built", [("cosine", Cosine), ("steps", Steps), ("plateau", Plateau)])
def test_every_schedule_builds(name: str, built: type) -> None:
    assert {"cosine", "steps", "plateau"} == set(names("optimiser/schedule"))
    config = composed(
        "fit", "data=synthetic", f"optimiser/schedule={name}", "optimiser.warmup=250", "optimiser.ema=0.9"
    )
    settings = instantiate(config.optimiser)
    assert settings.schedule == built()
    assert settings.lr_factor(249, 90_000) == pytest.approx(250 / 251)


@pytest.mark.parametrize("name, power", [("sqrt", 0.5), ("inverse", 1.0)])
def test_every_balance_builds_and_takes_settings(name: str, power: float) -> None:
    assert {"sqrt", "inverse"} == set(names("loader/balance"))
    loader = instantiate(composed("fit", "data=synthetic", f"loader/balance={name}", "loader.balance.most=3").loader)
    assert loader == LoaderSettings(augment="auto", balance=ClassBalance(power=power, most=3))
    assert instantiate(composed("fit", "data=synthetic").loader) == LoaderSettings(augment="auto")
    with pytest.raises(Exception, match="as loader/balance=sqrt makes it"):
        instantiate(composed("fit", "data=synthetic", "loader.balance=sqrt").loader)


def test_the_tiny_model_is_built_with_numbers() -> None:
    config = composed("fit", "data=synthetic", "model.image_size=64").model
    assert isinstance(build_model(config.name, image_size=config.image_size), Sam)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("program", ["fit", "evaluate"])
def test_every_data_set_composes_in_every_program(program: str, name: str) -> None:
    given = ["checkpoint=a.ckpt", "output=b"] if program == "evaluate" else []
    config = plain(composed(program, f"data={name}", *DATA[name], *given))
    assert config["data"]["_target_"].startswith("sam_ft.data.")


SPLITS = {"folds": FoldSplit, "groups": GroupSplit, "slabs": SlabSplit, "nnunet_fold": NnunetFold}


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_builds(name: str) -> None:
    assert set(names("data/split")) == SPLITS.keys()
    given = ["data.split.file=a.json"] if name == "nnunet_fold" else []
    split = instantiate(composed("fit", "data=nifti", f"data/split={name}", *given).data.split)
    assert isinstance(split, SPLITS[name])


def test_the_synthetic_data_set_is_built() -> None:
    assert isinstance(instantiate(composed("fit", "data=synthetic", "data.num_train=1").data), DataSplits)


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes_and_builds_its_recipe(name: str) -> None:
    config = composed("fit", f"experiment={name}")
    if config.get("data") and OmegaConf.is_missing(config.data, "root"):
        config.data.root = "anywhere"  # the user's folder
    data = plain(config).get("data")  # a recipe leaves the data to its user
    assert data is None or data["_target_"].startswith("sam_ft.data.")
    for group, built in BUILDS.items():
        assert isinstance(instantiate(config[group]), built)
    trainer = config.trainer
    assert (trainer.max_steps == -1) == ("max_epochs" in trainer)
    interval = trainer.val_check_interval
    assert interval is None or interval <= trainer.max_steps * trainer.accumulate_grad_batches


def test_an_experiment_of_ones_own_may_change_every_setting(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\ncompile: true\n")
    config = composed("fit", f"hydra.searchpath=[file://{tmp_path}]", "data=synthetic", "experiment=mine")
    assert (config.seed, config.compile) == (7, True)


def test_every_protocol_is_built_with_what_it_is_given() -> None:
    built = {
        name: instantiate(composed("evaluate", *MEASURED, f"protocol={name}").protocol, _convert_="all")
        for name in PROTOCOLS
    }
    assert {name: type(protocol) for name, protocol in built.items()} == PROTOCOLS
    assert set(names("protocol")) == PROTOCOLS.keys()
    assert built["interactive"] == InteractiveProtocol(clicks=[1, 3, 5], box_clicks=[])
    assert tuple(built["interactive"].clicks) == InteractiveProtocol().clicks
    assert built["segment_anything_fast"] == InteractiveProtocol([1], False, [], first_click="centre_of_mass")


def test_without_data_an_evaluation_has_none() -> None:
    assert not {"data", "protocol"} & set(composed("evaluate", *MEASURED))
    assert not {"data", "other"} & set(composed("forgetting", "after=a", "output=b"))


@pytest.mark.parametrize("name", DATA)
def test_every_data_set_may_be_the_other_one_of_a_forgetting_report(name: str) -> None:
    given = [override.replace("data.", "other.", 1) for override in DATA[name]]
    config = plain(composed("forgetting", "after=a", "output=b", "data=synthetic", f"data@other={name}", *given))
    assert (
        config["other"] == plain(composed("evaluate", "checkpoint=a", "output=b", f"data={name}", *DATA[name]))["data"]
    )
    assert config["data"]["_target_"] == "sam_ft.data.synthetic.Synthetic.splits"


def test_the_other_data_set_is_split_in_its_own_way() -> None:
    given = ["data=nifti", *NEEDED, "data@other=nifti", "other.images=c", "other.labels=d"]
    config = composed("forgetting", "after=a", "output=b", *given, "data/split@other.split=slabs")
    assert isinstance(instantiate(config.other.split), SlabSplit) and isinstance(
        instantiate(config.data.split), GroupSplit
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_yaml_says_what_it_is_for_or_what_each_setting_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any("#" in line and line != "# @package _global_" for line in lines)
