"""What trainers for SAM are known to have got wrong, each as a test of what goes right here.

The numbers are those of a list of mistakes found in the code of MedSAM, lightning-sam, finetune-anything, SAM-Med2D,
micro-sam, segment_anything, SAM 2 and 3 and a widely used tutorial.
"""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from torch import Tensor

from sam_ft.checkpoints import load_model, save_meta
from sam_ft.data.collation import Prepare, collate, whole_batches
from sam_ft.data.image_files import read_image
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.evaluation.records.summaries import summarise
from sam_ft.lightning import FitResult, Monitoring, Recipe, fit
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.dice import dice_loss
from sam_ft.losses.pixels import focal_loss
from sam_ft.losses.recipes import sam_loss
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam
from sam_ft.prompts.box_noise import GaussianNoise
from sam_ft.prompts.policies import FirstPrompt, Rounds
from sam_ft.prompts.presets import InteractivePreset, micro_sam, sam_paper
from sam_ft.transforms import PIXEL_MEAN, PIXEL_STD, Frame
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts, Sample

ROOT = Path(__file__).parents[2]
SIZE = 64
EXACT_BOX = InteractivePreset(
    first=FirstPrompt(point_probability=0.0, box_noise=GaussianNoise(deviation=0.0)),
    rounds=Rounds(num_clicks=0, num_mask_only=0),
)
"""Prompts without anything random, so that two ways to compute the same gradient can be compared."""


def tiny(seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    return sam(
        image_size=SIZE,
        encoder_width=24,
        encoder_depth=2,
        encoder_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        decoder_width=32,
    )


def train(output: Path, splits: DataSplits, *, batch_size: int = 1, **trainer: Any) -> FitResult:
    recipe = Recipe(
        prompts=EXACT_BOX,
        optimiser=OptimiserSettings(lr=1e-3, warmup=0.0),
        loader=LoaderSettings(batch_size=batch_size, augment="none"),
    )
    return fit(
        tiny(),
        splits,
        output=output,
        recipe=recipe,
        monitoring=Monitoring(wandb="disabled", pictures=0),
        trainer={"accelerator": "cpu", "num_sanity_val_steps": 0, "log_every_n_steps": 1, **trainer},
    )


class Ragged(Synthetic):
    """Image i has `counts[i]` objects."""

    def __init__(self, counts: tuple[int, ...]) -> None:
        super().__init__(len(counts), image_size=SIZE)
        self.counts = counts

    def __getitem__(self, index: int) -> Sample:
        masks = torch.zeros(self.counts[index], SIZE, SIZE, dtype=torch.bool)
        for number, mask in enumerate(masks):
            mask[5 + 9 * number : 18 + 12 * number, 8:40] = True
        names = ("bar",) * len(masks)
        return replace(super().__getitem__(index), masks=masks, class_names=names)


def gradients(checkpoint: Path) -> dict[int, Tensor]:
    """Those of the first step by parameter, as Adam's first running average has them."""
    (optimiser,) = torch.load(checkpoint, weights_only=True)["optimizer_states"]
    return {index: state["exp_avg"] for index, state in optimiser["state"].items()}


def expect_same_gradients(result: FitResult, expected: FitResult) -> None:
    """To 1e-5; none at all is as good as zero."""
    ours, theirs = gradients(result.last_checkpoint), gradients(expected.last_checkpoint)
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 1e-3
    for index in ours.keys() | theirs.keys():
        one, other = ours.get(index, torch.zeros(1)), theirs.get(index, torch.zeros(1))
        torch.testing.assert_close(*torch.broadcast_tensors(one, other), rtol=1e-5, atol=1e-7)


# 1: zero_grad before every micro-batch


def test_accumulated_gradients_are_those_of_the_large_batch(tmp_path: Path) -> None:
    """Images of 4, 0, 1 and 2 objects: alone, in pairs, and all at once."""
    splits = DataSplits(train=Ragged((4, 0, 1, 2)), val=Synthetic(1, image_size=SIZE))
    whole = train(tmp_path / "whole", splits, batch_size=4, max_steps=1)
    for batch_size in (1, 2):
        output = tmp_path / f"batches_of_{batch_size}"
        pieces = train(output, splits, batch_size=batch_size, max_steps=1, accumulate_grad_batches=4 // batch_size)
        assert pieces.num_steps == whole.num_steps == 1
        expect_same_gradients(pieces, whole)


def test_a_step_of_fewer_batches_at_the_end_of_an_epoch_is_their_mean(tmp_path: Path) -> None:
    """3 batches where 4 are accumulated, by which Lightning divides nevertheless."""
    splits = DataSplits(train=Ragged((4, 1, 2)), val=Synthetic(1, image_size=SIZE))
    whole = train(tmp_path / "whole", splits, batch_size=3, max_epochs=1)
    pieces = train(tmp_path / "pieces", splits, batch_size=1, max_epochs=1, accumulate_grad_batches=4)
    assert pieces.num_steps == whole.num_steps == 1
    expect_same_gradients(pieces, whole)


# 2: the mean loss of an epoch divided by one less than its batches


def test_an_epoch_of_one_batch_has_a_loss(tmp_path: Path) -> None:
    result = train(tmp_path / "run", Synthetic.splits(1, num_val=1, image_size=SIZE), max_steps=1)
    rows = (result.output / "metrics.csv").read_text(encoding="utf-8").splitlines()
    column = rows[0].split(",").index("train/loss")
    assert [float(row.split(",")[column]) > 0 for row in rows[1:] if row.split(",")[column]] == [True]


# 3: the first label of a slice taken for the background


def test_no_label_is_lost_in_a_slice_without_background() -> None:
    labels = np.repeat(np.array([[1, 2], [3, 3]]), 4, axis=0).repeat(4, axis=1)
    masks, names = ObjectRule(kind="labels").objects_of(labels, pixel_mm=(1.0, 1.0), path=Path("a.png"))
    assert len(names) == 3 and masks.any(axis=0).all()


# 4: flags of which "False" is true


def test_false_on_the_command_line_is_false() -> None:
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        config = compose("fit", ["data=synthetic", "output=runs/test", "prompts.box_is_ambiguous=False"])
    assert config.prompts.box_is_ambiguous is False
    assert instantiate(config.prompts).ambiguous == ("point",)


# 5: a program that reads data when it is imported


@pytest.mark.parametrize("program", sorted(path.name for path in (ROOT / "train").glob("*.py")))
def test_importing_a_program_does_nothing(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "train" / program), run_name="imported")
    assert not list(tmp_path.iterdir()) and capsys.readouterr() == ("", "")


# 6: alpha and smoothing mistaken for the number of masks, and the focus applied to the mean


def test_a_masks_loss_does_not_depend_on_how_many_masks_there_are() -> None:
    logits, targets = torch.randn(8, 9, 9), (torch.rand(8, 9, 9) < 0.4).float()
    for loss in (focal_loss, dice_loss):
        torch.testing.assert_close(loss(logits, targets)[:1], loss(logits[:1], targets[:1]))


def test_focal_loss_focuses_on_each_pixel_and_not_on_their_mean() -> None:
    logits, targets = torch.tensor([[8.0, -1.0]]), torch.tensor([[1.0, 1.0]])  # one right, one wrong
    each = torch.stack([focal_loss(logits[:, i : i + 1], targets[:, i : i + 1]) for i in range(2)])
    torch.testing.assert_close(focal_loss(logits, targets), each.mean())


# 7: logits cut at one half, one epoch too few, padding in the middle, pixels not normalised, metrics of one rank alone
# (the last: tests/lightning/test_several_processes.py)


class Certain:
    """Answers every object with its truth, as logits that are hardly above and below zero."""

    image_size = SIZE

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(images)

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        logits = 0.4 * (2 * self.truth.float() - 1)[None, :, None]
        return MaskPrediction(logits, torch.ones(logits.shape[:3]))


def test_a_pixel_belongs_to_the_mask_where_its_logit_is_above_zero() -> None:
    sample = Synthetic(1, image_size=SIZE)[0]
    records = evaluate_clicks(Certain(sample.masks), whole_batches([sample], image_size=SIZE, batch_size=1))  # type: ignore[arg-type]
    assert summarise(records)["miou@1"] == summarise(records)["miou@box"] == 1


def test_training_has_as_many_epochs_as_it_was_told(tmp_path: Path) -> None:
    splits = Synthetic.splits(3, num_val=1, image_size=SIZE)
    assert train(tmp_path / "run", splits, max_epochs=2).num_steps == 2 * 3


def test_images_are_normalised_and_padded_at_the_bottom_and_on_the_right() -> None:
    image = torch.full((20, 40, 3), 200, dtype=torch.uint8)
    frame = Frame((20, 40), SIZE).image_to_frame(image)
    expected = (200 - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    torch.testing.assert_close(frame[:, :32, :], expected.view(3, 1, 1).expand(3, 32, SIZE))
    assert not frame[:, 32:].any()


# 8: parameters of no listed group, which never reach the optimiser: tests/lightning/test_optim.py


# 9: validation on the training images


def test_validation_measures_the_validation_part(tmp_path: Path) -> None:
    class Watched(Synthetic):
        touched: set[str] = set()

        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            self.touched.add(sample.name)
            return sample

    val = Watched(2, image_size=SIZE, seed=7)
    splits = replace(Synthetic.splits(2, num_val=1, image_size=SIZE), val=val)
    result = train(tmp_path / "run", splits, max_steps=1)
    assert Watched.touched == {sample.name for sample in Synthetic(2, image_size=SIZE, seed=7)}
    expected = summarise(evaluate_clicks(load_model(result.weights), whole_batches(val, image_size=SIZE, batch_size=1)))
    assert result.best == pytest.approx(expected["miou@1"], abs=1e-6)


# 10: BGR images, losses over the whole batch, an optimiser object in the checkpoint, probabilities for logits
# (the last: tests/prompts/test_corrections.py)


def test_images_are_read_with_red_first(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (250, 20, 10)).save(tmp_path / "red.png")
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [250, 20, 10]


def test_a_checkpoint_holds_no_objects_but_tensors_and_numbers(tmp_path: Path) -> None:
    result = train(tmp_path / "run", Synthetic.splits(1, num_val=1, image_size=SIZE), max_steps=1)
    content = torch.load(result.last_checkpoint, weights_only=True)  # refuses any other object
    assert {"state_dict", "optimizer_states", "lr_schedulers"} <= content.keys()


# 11: settings that are spent by their first use, batches cut to the smallest number of objects


def test_a_preset_can_be_built_again_and_again() -> None:
    assert micro_sam() == micro_sam() and sam_paper() == sam_paper()


def test_a_batch_keeps_all_objects_of_every_image() -> None:
    samples = [Synthetic(8, image_size=SIZE)[index] for index in range(8)]
    counts = [len(sample.masks) for sample in samples]
    assert len(set(counts)) > 1
    batch = collate([Prepare(SIZE)(sample) for sample in samples])
    assert batch.valid.sum(dim=1).tolist() == counts and batch.masks.shape[1] == max(counts)


# 12: a decoder that takes one image at a time


def test_many_images_in_one_decoder_call_equal_one_after_the_other() -> None:
    model = tiny().eval()
    images, boxes = torch.randn(3, 3, SIZE, SIZE), torch.tensor([[[4.0, 4, 30, 40], [10, 8, 60, 50]]]).expand(3, 2, 4)
    with torch.no_grad():
        together = model.decode(model.encode_image(images), Prompts(boxes=boxes), multimask_output=True)
        for index in range(3):
            here = slice(index, index + 1)
            alone = model.decode(model.encode_image(images[here]), Prompts(boxes=boxes[here]), multimask_output=True)
            torch.testing.assert_close(together.low_res_logits[here], alone.low_res_logits, rtol=1e-4, atol=1e-5)


# 13: the same draws on every GPU


def test_every_rank_draws_its_own_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SamModule(tiny(), preset=sam_paper(), loss=sam_loss(), optimiser=OptimiserSettings())
    draws = set()
    for rank in range(4):
        monkeypatch.setattr(SamModule, "global_rank", rank)
        monkeypatch.setattr(SamModule, "current_epoch", 0)
        draws.add(float(torch.rand((), generator=module._generator(0))))
    assert len(draws) == 4


# 14: a checkpoint of which nothing is loaded, without a word


def test_names_with_the_prefix_of_a_wrapper_are_loaded(tmp_path: Path) -> None:
    model = tiny()
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, tmp_path / "wrapped.pth")
    loaded = load_model(tmp_path / "wrapped.pth").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_of_which_nothing_fits_is_an_error(tmp_path: Path) -> None:
    save_meta(tiny(), tmp_path / "model.pth")
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    torch.save({f"unknown_{name}": value for name, value in content.items()}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match="foreign.pth"):
        load_model(tmp_path / "foreign.pth")


# 15: masks of 0 and 255


@pytest.fixture
def masks_of_255(tmp_path: Path) -> ImageMaskFolder:
    label = np.zeros((32, 32), dtype=np.uint8)
    label[8:20, 4:28] = 255
    for folder, array in (("images", np.full((32, 32), 90, dtype=np.uint8)), ("labels", label)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.png")
    return ImageMaskFolder(tmp_path / "images", tmp_path / "labels")


def test_masks_of_0_and_255_are_masks(masks_of_255: ImageMaskFolder) -> None:
    (mask,) = masks_of_255[0].masks
    assert mask.dtype == torch.bool and int(mask.sum()) == 12 * 24
    loss = dice_loss(torch.randn(32, 32), mask.float())
    assert 0 <= loss <= 1
