from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from sam_ft.checkpoints import read_state_dict
from sam_ft.data.collation import Prepare, collate
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning import FitResult, Recipe
from sam_ft.lightning.compiling import expect_compiler, with_points
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.module import SamModule, TaughtModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.semantic_module import SemanticModule
from sam_ft.losses.recipes import sam_loss
from sam_ft.losses.semantic import SemanticLoss
from sam_ft.models.adapt.hq import HighQuality
from sam_ft.models.sam.heads import add_class_head, add_semantic_head
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import sam_paper
from sam_ft.types import ABSENT, Batch, Prompts

Make = Callable[..., Sam]
NAMES = ("ellipse", "nucleus", "polygon")


def with_objects(batch: Batch, num_objects: int) -> Batch:
    """The batch with its objects again and again, or only the first."""
    index = torch.arange(num_objects) % batch.masks.shape[1]
    return replace(batch, masks=batch.masks[:, index], valid=batch.valid[:, index])


def module_of(model: Sam, memory: MemorySettings) -> SamModule:
    module = SamModule(
        model,
        preset=sam_paper(num_clicks=2, num_mask_only=1),
        loss=sam_loss(),
        optimiser=OptimiserSettings(),
        memory=memory,
    )
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    return module.train()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("checkpoints", [False, True])
def test_compiled_steps_have_the_losses_and_gradients_of_plain_ones(tiny_model: Make, checkpoints: bool) -> None:
    """And are not compiled again for each number of objects: one graph of the encoder, two of the decoder."""
    memory = MemorySettings(checkpoint_blocks=checkpoints, checkpoint_rounds=checkpoints)
    plain, compiled = module_of(tiny_model(), memory), module_of(tiny_model(), memory)
    compiled.compile_steps()
    batch = collate([Prepare(64)(sample) for sample in Synthetic(2, image_size=64)])
    torch._dynamo.reset()
    counters.clear()
    for step, num_objects in enumerate((3, 2, 5, 4, 7)):
        given = with_objects(batch, num_objects)
        losses = []
        for module in (plain, compiled):
            module.zero_grad()
            loss = module.training_step(given, step)
            loss.backward()
            losses.append(loss.detach())
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=0)
        for (name, one), other in zip(plain.model.named_parameters(), compiled.model.parameters(), strict=True):
            for gradient in (one.grad, other.grad):
                assert (gradient is None) == (one.grad is None), name
            if one.grad is not None:
                torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
    assert counters["stats"]["unique_graphs"] == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_high_quality_decoder_that_names_classes_is_compiled_too(tiny_model: Make) -> None:
    modules = []
    for _ in range(2):
        model = tiny_model()
        HighQuality()(model)
        add_class_head(model, NAMES)
        modules.append(module_of(model, MemorySettings()))
    assert_alike(*modules, collate([Prepare(64)(sample) for sample in Synthetic(2, image_size=64)]), num_graphs=3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("checkpoints", [False, True])
def test_semantic_segmentation_is_compiled_too(tiny_model: Make, checkpoints: bool) -> None:
    modules = []
    for _ in range(2):
        model = tiny_model()
        add_semantic_head(model, NAMES)
        memory = MemorySettings(checkpoint_blocks=checkpoints)
        module = SemanticModule(model, loss=SemanticLoss(), optimiser=OptimiserSettings(), memory=memory)
        module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
        modules.append(module.train())
    assert_alike(*modules, collate([Prepare(64)(sample) for sample in Synthetic(2, image_size=64)]), num_graphs=2)


def assert_alike(plain: TaughtModule, compiled: TaughtModule, batch: Batch, *, num_graphs: int) -> None:
    """The same loss and gradients, though one of them is compiled."""
    compiled.model.load_state_dict(plain.model.state_dict())
    compiled.compile_steps()
    torch._dynamo.reset()
    counters.clear()
    losses = [module.training_step(batch, 0) for module in (plain, compiled)]
    assert counters["stats"]["unique_graphs"] == num_graphs and not counters["graph_break"]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=0)
    for loss in losses:
        loss.backward()
    for (name, one), other in zip(plain.model.named_parameters(), compiled.model.parameters(), strict=True):
        assert (other.grad is None) == (one.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_compiled_training_writes_weights_of_the_same_names(
    quick_fit: Callable[..., FitResult], tiny_model: Make, tmp_path: Path, recipe: Callable[..., Recipe]
) -> None:
    model = tiny_model()
    names = model.state_dict().keys()
    taught = replace(recipe(), compiled=True, optimiser=OptimiserSettings(ema=0.9))
    result = quick_fit(tmp_path / "run", model=model, recipe=taught, max_steps=2)
    assert read_state_dict(result.weights).keys() == names == model.state_dict().keys()
    resumed = quick_fit(
        tmp_path / "run", recipe=replace(taught, compiled=False), resume=result.last_checkpoint, max_steps=3
    )
    assert resumed.num_steps == 3


def test_a_module_has_the_same_names_with_compiled_steps(tiny_model: Make) -> None:
    module = module_of(tiny_model(), MemorySettings())
    names = list(module.state_dict())
    module.compile_steps()  # nothing is compiled before the first step
    assert list(module.state_dict()) == names
    assert module.model.state_dict().keys() == tiny_model().state_dict().keys()


def test_without_a_compiler_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, quick_fit: Callable[..., FitResult], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "no_such_compiler")
    with pytest.raises(ValueError, match="compile=true, but no_such_compiler is not found"):
        expect_compiler()
    with pytest.raises(ValueError, match="no_such_compiler"):
        quick_fit(tmp_path / "run", recipe=replace(recipe(), compiled=True))
    assert not (tmp_path / "run").exists()


def test_points_are_padded_with_absent_ones_that_change_no_answer(tiny_model: Make) -> None:
    model = tiny_model().eval()
    prompts = Prompts(points=torch.rand(1, 2, 3, 2) * 64, labels=torch.randint(0, 2, (1, 2, 3)))
    padded = with_points(prompts, 5)
    assert padded.points is not None and padded.labels is not None
    assert padded.points.shape == (1, 2, 5, 2) and (padded.labels[..., 3:] == ABSENT).all()
    with torch.no_grad():
        embedding = model.encode_image(torch.randn(1, 3, 64, 64))
        answers = [model.decode(embedding, each, multimask_output=None).low_res_logits for each in (prompts, padded)]
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-5, atol=1e-5)
    boxes = Prompts(boxes=torch.rand(1, 2, 4))
    assert with_points(boxes, 5) is boxes
    with pytest.raises(ValueError, match="at most 1 points"):
        with_points(prompts, 1)
