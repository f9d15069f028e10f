"""Every experiment takes two steps on tiny sizes, and every recipe has the numbers of its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from sam_ft.checkpoints import load_model, read_state_dict
from sam_ft.lightning import fit, program
from sam_ft.lightning.schedules import Plateau
from sam_ft.lightning.tasks import recipe_of
from sam_ft.models.sam.model import Sam

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs" / "experiment").glob("*.yaml"))
OURS = {"demo_brain", "nuclei", "pretrain_tiny"}  # the others are recipes of papers and projects
TINY = [
    "data=synthetic",
    "data.num_train=4",
    "data.num_val=1",
    "data.num_test=0",
    "data.image_size=64",
    "model=vit_tiny",
    "model.image_size=64",
    "model.weights=null",
    "loader.batch_size=2",
    "loader.max_objects=2",
    "loader.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "trainer.strategy=auto",
    "trainer.precision=32-true",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "trainer.accumulate_grad_batches=1",
    "monitoring.wandb=disabled",
    "monitoring.pictures=0",
]
ENCODER, PROMPTS, DECODER = r"image_encoder\..*", r"prompt_encoder\..*(?<!gaussian_matrix)", r"mask_decoder\..*"


@dataclass(frozen=True)
class Numbers:
    """What a recipe's source says."""

    lr: float
    schedule: Mapping[float, float]  # share of the learning rate at shares of the run
    weight_decay: float
    images: int  # in a step
    objects: int  # of an image
    rounds: int
    image_size: int
    learns: tuple[str, ...]  # patterns of the names of the parameters that learn
    max_steps: int = -1
    max_epochs: int | None = None
    clip: float | None = None


RECIPES = {
    "sam_paper": Numbers(
        lr=8e-4,
        schedule={0.0: 1 / 251, 0.5: 1.0, 0.66: 1.0, 0.67: 0.1, 0.96: 0.1, 0.97: 0.01},
        weight_decay=0.1,
        images=128,
        objects=64,
        rounds=11,
        image_size=1024,
        learns=(ENCODER, PROMPTS, DECODER),
        max_steps=180_000,
    ),
    "medsam": Numbers(
        lr=1e-4,
        schedule={0.0: 1.0, 0.5: 1.0, 1.0: 1.0},
        weight_decay=0.01,
        images=160,
        objects=1,
        rounds=1,
        image_size=1024,
        learns=(ENCODER, DECODER),
        max_epochs=150,
    ),
    "micro_sam": Numbers(
        lr=1e-5,
        schedule={0.0: 1.0, 0.5: 1.0, 1.0: 1.0},  # what validation does to it is a test of its own
        weight_decay=0.01,
        images=1,
        objects=25,
        rounds=8,
        image_size=1024,
        learns=(ENCODER, PROMPTS, DECODER),
        max_epochs=100,
    ),
    "sam_med2d": Numbers(
        lr=1e-4,
        schedule={0.0: 1.0, 4.9 / 15: 1.0, 5.1 / 15: 0.5, 9.9 / 15: 0.5, 10.1 / 15: 0.25, 1.0: 0.25},
        weight_decay=0.0,
        images=2,
        objects=5,
        rounds=9,
        image_size=256,
        learns=(r"image_encoder\..*\.adapter\..*", PROMPTS, DECODER),
        max_epochs=15,
    ),
    "hq_decoder": Numbers(
        lr=1e-3,
        schedule={0.0: 1.0, 9.9 / 12: 1.0, 10.1 / 12: 0.1, 1.0: 0.1},
        weight_decay=0.0,
        images=32,
        objects=1,
        rounds=1,
        image_size=1024,
        learns=(r"mask_decoder\.(hf_token|hf_mlp|compress_vit_feat|embedding_encoder|embedding_maskfeature)\..*",),
        max_epochs=12,
    ),
    "lora": Numbers(
        lr=1e-4,
        schedule={0.03: 0.5, 0.06: 1.0, 0.53: 0.5, 1.0: 0.0},
        weight_decay=0.1,
        images=4,
        objects=16,
        rounds=5,
        image_size=1024,
        learns=(r"image_encoder\..*\.lora_.*", DECODER),
        max_steps=5000,
        clip=1.0,
    ),
    "sam2_image": Numbers(
        lr=5e-6,
        schedule={0.0: 1.0, 0.5: 0.55, 1.0: 0.1},
        weight_decay=0.1,
        images=64,
        objects=3,
        rounds=8,
        image_size=1024,
        learns=(ENCODER, PROMPTS, DECODER),
        max_epochs=40,
        clip=0.1,
    ),
}


def composed(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return compose("fit", [f"experiment={name}", *overrides])


def weights(model: Sam) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def learning(model: Sam) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_takes_two_steps_that_move_what_learns(name: str, tmp_path: Path) -> None:
    config = composed(name, *TINY)
    model = program.model_of(config)
    before, learns = weights(model), learning(model)
    result = fit(
        model,
        program.data_of(config.data),
        output=tmp_path / "run",
        recipe=recipe_of(config),
        monitoring=instantiate(config.monitoring),
        trainer=program.plain(config.trainer),
    )
    assert result.num_steps == 2
    after = read_state_dict(result.last_checkpoint, merge_lora=False)
    moved = {name for name, tensor in after.items() if not tensor.equal(before[name])}
    assert moved <= learns
    assert {name.partition(".")[0] for name in moved} == {name.partition(".")[0] for name in learns}
    assert load_model(result.weights).image_size == 64


def test_every_recipe_is_checked_and_on_the_page() -> None:
    assert {*RECIPES, *OURS} == set(EXPERIMENTS)
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in RECIPES if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_in_its_header_how_to_call_it(name: str) -> None:
    header = (ROOT / "configs" / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").partition("defaults:")[0]
    assert f"#   sam-ft fit experiment={name} data=" in header


@pytest.mark.parametrize("name, expected", RECIPES.items(), ids=RECIPES)
def test_a_recipe_teaches_as_its_source_says(name: str, expected: Numbers) -> None:
    config = composed(name, "data=synthetic")
    recipe = recipe_of(config)
    assert recipe.optimiser.lr == expected.lr
    assert recipe.optimiser.weight_decay == expected.weight_decay
    num_steps = 100_000
    factors = {at: recipe.optimiser.lr_factor(round(at * num_steps), num_steps) for at in expected.schedule}
    assert factors == pytest.approx(dict(expected.schedule), abs=1e-3)
    assert recipe.prompts.num_rounds == expected.rounds
    assert recipe.loader.batch_size * config.trainer.accumulate_grad_batches == expected.images
    assert recipe.loader.max_objects == expected.objects
    assert config.trainer.max_steps == expected.max_steps
    assert config.trainer.get("max_epochs") == expected.max_epochs
    assert config.trainer.gradient_clip_val == expected.clip
    assert config.model.image_size == expected.image_size


def test_micro_sam_lowers_its_rate_and_stops_by_validation() -> None:
    config = composed("micro_sam", "data=synthetic")
    assert recipe_of(config).optimiser.schedule == Plateau(factor=0.9, patience=3)
    assert instantiate(config.monitoring).patience == 10


@pytest.mark.parametrize("name, expected", RECIPES.items(), ids=RECIPES)
def test_a_recipe_trains_what_its_source_trains(name: str, expected: Numbers) -> None:
    model = program.model_of(composed(name, *TINY))
    names = [name for name, _ in model.named_parameters()]
    for pattern in expected.learns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert learning(model) == {name for name in names if any(re.fullmatch(p, name) for p in expected.learns)}
