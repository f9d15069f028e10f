"""`sam-ft fit`: fine-tune a model. The settings are in configs/fit.yaml."""

from __future__ import annotations

import logging

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from sam_ft.cli import find_configs
from sam_ft.inference import thresholds
from sam_ft.lightning import FitResult, program, tasks
from sam_ft.lightning.memory.advice import memory_report
from sam_ft.lightning.parameter_groups import parameter_table

_logger = logging.getLogger("sam_ft.fit")

RANDOM_WEIGHTS = (
    "This starts from random weights, which takes long%s. To fine-tune instead: "
    "model=vit_tiny model.weights=vit_tiny_phantoms, or model=vit_b model.weights=sam_vit_b.\n"
)


def train(config: DictConfig) -> None:
    """Build everything that the config names, train, say where everything is."""
    data = program.data_of(config.data)
    task = tasks.TASKS[config.task]
    model = task.model_of(config, data)
    recipe, monitoring = task.recipe_of(config), task.monitoring_of(config)
    say = rank_zero_only(_logger.info)  # every process comes here
    say(
        "%s at %d px, %d training samples, %d for validation\n\n%s\n\n%s\n",
        config.model.name if config.model.weights is None else config.model.weights,
        model.image_size,
        len(data.train),
        len(data.val),
        parameter_table(model, recipe.optimiser.rates()),
        memory_report(
            tasks.setup_of(config, model=model, recipe=recipe),
            is_setting=lambda key: OmegaConf.select(config, key, default=None) is not None,
        ),
    )
    if config.model.weights is None and config.task != "unet":
        say(RANDOM_WEIGHTS, "; loss=from_scratch suits them" if config.task == "prompts" else "")
    plain = program.plain(config)
    plain["output"] = str(program.output_of(config))
    result = task.fit(
        model,
        data,
        output=plain["output"],
        recipe=recipe,
        monitoring=monitoring,
        trainer=plain["trainer"],
        resume=config.resume,
        config=plain,
    )
    say("%s", describe(result, metric=config.monitoring.metric, has_test=data.test is not None))


def describe(result: FitResult, *, metric: str, has_test: bool) -> str:
    """Where a training wrote everything."""
    contents = {
        "best.ckpt": "the best state by validation",
        "last.ckpt": f"the last state: sam-ft fit ... resume={result.last_checkpoint}",
        "model.safetensors": "the best weights alone; those of a SAM with Meta's names",
        "adapter": "of these what LoRA learnt, as peft loads it",
        "config.yaml": "what made this run",
        "metrics.csv": "losses and validation",
        "calibration.png": "what the best state thinks of its masks in validation, and what they are",
        "thresholds.json": "thresholds of the mask generator that suit these weights",
        "pictures": "truth and prediction at every validation",
        "wandb": f"losses and validation for wandb: wandb sync {result.output}/wandb/offline-run-*",
    }
    measured = f"output={result.output / 'evaluation'}" + ("" if has_test else " part=val")
    return "\n".join(
        [
            f"\nDone after {result.num_steps} steps. Best validation {metric}: {result.best:.3f}. In {result.output}:",
            *(f"  {name:<18} {meaning}" for name, meaning in contents.items() if (result.output / name).exists()),
            *([] if result.thresholds is None else [thresholds.describe(result.thresholds)]),
            f"Measure it: sam-ft evaluate checkpoint={result.best_checkpoint} {measured}",
        ]
    )


def main() -> None:
    """The program."""
    program.run(train, config_folder=find_configs(), config_name="fit")


if __name__ == "__main__":
    main()
