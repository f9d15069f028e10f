from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from sam_ft.checkpoints import save_meta
from sam_ft.lightning import program
from sam_ft.lightning.module import CONFIG_KEY
from sam_ft.models.sam.drawn_prompts import DrawnPromptEncoder
from sam_ft.models.sam.model import Sam

MODEL = {
    "model": {"name": "vit_tiny", "image_size": 64, "weights": None, "drop_path": 0.0, "drawn_prompts": False},
    "adapt": {"_target_": "sam_ft.models.adapt.freeze.TrainParts"},
    "seed": 0,
}
CONFIG = {"data": {"images": "a"}}


def checkpoint(folder: Path, **content: object) -> Path:
    path = folder / "best.ckpt"
    torch.save({"state_dict": {}, **content}, path)
    return path


def config_of(**changes: object) -> DictConfig:
    return OmegaConf.merge(OmegaConf.create(MODEL), changes)  # type: ignore[return-value]


def test_the_seed_decides_the_random_weights() -> None:
    first, again, other = (program.model_of(config_of(seed=seed)).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert any(not torch.equal(other[name], tensor) for name, tensor in first.items())


def test_weights_bring_their_own_size_and_the_frame_is_set(tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    save_meta(tiny_model(), tmp_path / "tiny.pth")
    for image_size, expected in ((None, 64), (96, 96)):
        weights = {"name": None, "weights": str(tmp_path / "tiny.pth"), "image_size": image_size}
        model = program.model_of(config_of(model=weights))
        assert model.image_size == expected
        assert model.mask_decoder.mask_tokens.weight.shape[1] == 32


def test_weights_of_another_size_than_the_models_are_refused(tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    save_meta(tiny_model(), tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match="Expected weights of vit_tiny.*model.name=null"):
        program.model_of(config_of(model={"weights": str(tmp_path / "tiny.pth")}))
    with pytest.raises(ValueError, match="Expected weights of vit_b.*model=vit_tiny"):
        program.model_of(config_of(model={"name": "vit_b", "weights": "vit_tiny_phantoms"}))


def test_a_training_writes_where_it_is_told_or_beside_what_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "SAM_FT_RUN_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert program.output_of(config_of(output="mine", resume="runs/a/last.ckpt")) == Path("mine")
    assert program.output_of(config_of(output=None, resume="runs/a/last.ckpt")) == Path("runs/a")
    new = program.output_of(config_of(output=None, resume=None))
    assert new.parent == Path("runs/fit")
    monkeypatch.setenv("SAM_FT_RUN_NAME", "earlier")
    assert program.output_of(config_of(output=None, resume=None)).name != "earlier"  # another run of this process
    monkeypatch.setenv("SAM_FT_RUN_NAME", new.name)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert program.output_of(config_of(output=None, resume=None)) == new  # another device of this run


@pytest.mark.parametrize("chosen", ["decoder", {"parts": ["mask_decoder"]}])
def test_adapt_chooses_what_is_trained(chosen: object) -> None:
    model = program.model_of(config_of(adapt=chosen))
    assert {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"mask_decoder"}


def test_the_seed_decides_the_updates_of_lora_beside_given_weights() -> None:
    lora = {"_target_": "sam_ft.models.adapt.lora.Lora", "rank": 2}
    weights = {"name": None, "weights": "vit_tiny_phantoms"}
    first, again, other = (
        program.model_of(OmegaConf.create({**config_of(model=weights, seed=seed), "adapt": lora})).state_dict()
        for seed in (1, 1, 2)
    )
    (name, *_) = [name for name in first if "lora_A" in name]
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])


def test_prompts_are_drawn_where_the_model_says_so() -> None:
    assert not isinstance(program.model_of(config_of()).prompt_encoder, DrawnPromptEncoder)
    assert isinstance(program.model_of(config_of(model={"drawn_prompts": True})).prompt_encoder, DrawnPromptEncoder)


def test_drop_path_rises_over_the_blocks() -> None:
    blocks = program.model_of(config_of(model={"drop_path": 0.5})).image_encoder.blocks
    assert [block.drop_path for block in blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"model": {"drop_path": 1.0}}, "drop_path"),
        ({"model": {"drawn_prompts": "sometimes"}}, "drawn_prompts"),
        ({"adapt": "heads"}, "full, decoder"),
        ({"model": {"name": "vit_x"}}, "vit_tiny, vit_b"),
        ({"model": {"image_size": 60}}, "multiple of 16"),
        ({"model": {"image_size": "big"}}, "model.image_size"),
        ({"model": {"weights": "nowhere.pth"}}, "nowhere.pth"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_a_wrong_setting_of_the_model_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        program.model_of(config_of(**changes))


def test_data_that_is_no_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="DataSplits, but got Synthetic"):
        program.data_of(OmegaConf.create({"_target_": "sam_ft.data.synthetic.Synthetic", "num_images": 1}))


def test_the_config_comes_from_inside_a_checkpoint_before_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {images: beside}\n")
    assert program.config_of(checkpoint(tmp_path, **{CONFIG_KEY: CONFIG})) == CONFIG
    assert program.config_of(checkpoint(tmp_path))["data"] == {"images": "beside"}
    assert program.config_of(tmp_path)["data"] == {"images": "beside"}


@pytest.mark.parametrize("config", [None, {}, {"seed": 0}])
def test_a_checkpoint_that_does_not_know_its_data_says_what_to_do(tmp_path: Path, config: object) -> None:
    path = checkpoint(tmp_path, **{CONFIG_KEY: config})
    with pytest.raises(ValueError, match="found none: say what to measure on, such as data=nifti"):
        program.config_of(path)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere.ckpt, but nothing is there"):
        program.config_of(tmp_path / "nowhere.ckpt")


def test_a_plain_config_has_all_references_resolved() -> None:
    config = OmegaConf.create({"a": 1, "b": {"c": "${a}"}, "d": [1, 2]})
    assert program.plain(config) == {"a": 1, "b": {"c": 1}, "d": [1, 2]}


def test_an_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        program.exit_with(ValueError("Expected\n one line."))
    assert leaving.value.code == 2
    assert capsys.readouterr().err == "sam-ft: Expected one line.\n"


def test_a_developer_can_see_where_it_was_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(program.TRACEBACK_VARIABLE, "1")
    with pytest.raises(ValueError, match="the error itself"):
        program.exit_with(ValueError("the error itself"))


def test_a_program_keeps_the_traceback_of_a_mistake_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.yaml").write_text(
        "hydra: {output_subdir: null, run: {dir: .}, job_logging: {root: null}}\nx: 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["main.py"])

    def task(config: DictConfig) -> None:
        raise TypeError(f"a mistake with {config.x}")

    with pytest.raises(TypeError, match="a mistake with 1"):
        program.run(task, config_folder=tmp_path, config_name="main")


def test_every_program_writes_no_files_of_hydra() -> None:
    for name in ("fit", "evaluate"):
        with initialize_config_dir(str(Path(__file__).parents[2] / "configs"), version_base="1.3"):
            config = compose(name, ["data=synthetic"], return_hydra_config=True)
        assert config.hydra.output_subdir is None
        assert config.hydra.job_logging.handlers.file.delay is True
        assert config.hydra.job_logging.root.handlers == ["console"]
