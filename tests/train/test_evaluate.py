"""`sam-ft evaluate` as a user meets it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from sam_ft.checkpoints import save_meta
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.records.file import read_records, write_records
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.lightning import Monitoring, Recipe, fit
from sam_ft.models.sam.variants import build_model
from sam_ft.prompts.presets import sam_paper

Program = Callable[..., Any]
DATA = {
    "_target_": "sam_ft.data.synthetic.Synthetic.splits",
    "num_train": 1,
    "num_val": 1,
    "num_test": 2,
    "image_size": 64,
    "seed": 0,
}
AUTOMATIC = ["checkpoint=run/best.ckpt", "output=eval", "protocol=automatic"]

INTERACTIVE = ["checkpoint=run/best.ckpt", "output=eval", "protocol=interactive"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of one step, with its data in its config."""
    torch.manual_seed(0)
    result = fit(
        build_model("vit_tiny", image_size=64),
        Synthetic.splits(1, num_val=1, image_size=64),
        output=tmp_path_factory.mktemp("trained") / "run",
        recipe=Recipe(prompts=sam_paper(num_clicks=0, num_mask_only=0)),
        monitoring=Monitoring(wandb="disabled", pictures=0, clicks=(1,)),
        trainer={"accelerator": "cpu", "max_steps": 1, "val_check_interval": 1, "check_val_every_n_epoch": None},
        config={"data": DATA},
    )
    return result.output


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy in the test's own folder, under a short name."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def one_line(result: Any) -> str:
    assert result.code == 2, result.err
    assert result.err.startswith("sam-ft: ")
    assert result.err.count("\n") == 1
    return result.err


def test_evaluate_measures_on_the_test_part_of_the_training_and_writes_a_folder(
    sam_ft: Program, run: Path, tmp_path: Path
) -> None:
    done = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", "pictures=1")
    assert done.code == 0, done.err
    written = {"summary.json", "summary.md", "summary.tex", "records.csv", "index.html"}
    assert {path.name for path in (tmp_path / "eval").iterdir()} == written
    assert {path.name for path in tmp_path.iterdir()} == {"run", "eval"}
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    test = Synthetic.splits(1, num_val=1, num_test=2, image_size=64).test
    assert test is not None
    num_masks = sum(len(test[index].masks) for index in range(2))
    assert (summary["num_images"], summary["num_masks"]) == (2, num_masks)
    for key in ("miou@1", "miou@3", "miou@5", "miou@box", "miou@1_oracle", "noc@90"):
        assert 0 <= summary[key] <= (5 if key == "noc@90" else 1)
        assert f"{summary[key]:.4f}" in done.out
    with (tmp_path / "eval" / "records.csv").open() as file:
        records = list(csv.DictReader(file))
    assert len(records) == 6 * num_masks  # the box and five rounds of clicks, of which figures are of three
    assert sum(record["in_summary"] == "1" for record in records) == 4 * num_masks
    boxes = [float(record["iou"]) for record in records if record["prompt"] == "box"]
    assert sum(boxes) / len(boxes) == pytest.approx(summary["miou@box"])
    page = (tmp_path / "eval" / "index.html").read_text()
    assert page.count("<img") > 3
    assert "sam-ft evaluate checkpoint=run/best.ckpt output=eval" in page


def test_evaluate_takes_other_data_another_part_and_plain_weights(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    data = ["data=synthetic", "data.num_train=1", "data.num_val=3", "data.num_test=0", "data.image_size=64"]
    done = sam_ft(
        "evaluate", "checkpoint=run/model.safetensors", "output=eval", "part=val", "clicks=[2]", "pictures=0", *data
    )
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["num_images"] == 3
    assert {key for key in summary if key.startswith("miou")} == {"miou@2", "miou@box", "miou@box_oracle"}


def test_a_protocol_is_chosen_with_its_settings(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    given = ["protocol.box_clicks=[1]", "protocol.mask=true", "protocol.first_click=random", "protocol.oracle=false"]
    common = ["checkpoint=run/best.ckpt", "output=eval", "clicks=[1]", "pictures=1", "protocol=interactive"]
    done = sam_ft("evaluate", *common, *given)
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    keys = {"miou@1", "miou@box", "miou@box+1", "miou@mask"}
    assert {key for key in summary if key.startswith("miou")} == keys
    assert "drawn by chance" in (tmp_path / "eval" / "index.html").read_text()
    assert "| box + 1 click |" in (tmp_path / "eval" / "summary.md").read_text()


def test_the_protocol_of_segment_anything_fast_is_one_click(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    done = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", "pictures=0", "protocol=segment_anything_fast")
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert {key for key in summary if key.startswith("miou")} == {"miou@1", "miou@1_oracle"}


def test_one_model_is_asked_with_the_clicks_of_another_and_compared(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    data = ["data=synthetic", "data.num_train=1", "data.num_val=12", "data.num_test=0", "data.image_size=64"]
    save_meta(build_model("vit_tiny", image_size=64), tmp_path / "other.pth")
    for arguments in (
        ["checkpoint=run/best.ckpt", "output=a"],
        ["checkpoint=run/best.ckpt", "output=again", "protocol=interactive", "protocol.clicks_from=a", "batch_size=1"],
        ["checkpoint=other.pth", "output=b", "protocol=interactive", "protocol.clicks_from=a/records.csv"],
        ["checkpoint=other.pth", "output=own"],
    ):
        done = sam_ft("evaluate", *arguments, "part=val", "pictures=0", "image_size=64", *data)
        assert done.code == 0, done.err
    a, again = (read_records(tmp_path / name) for name in ("a", "again"))
    assert [record.iou for record in again] == pytest.approx([record.iou for record in a], abs=1e-6)
    assert " [" in done.out and json.loads((tmp_path / "a" / "summary.json").read_text())["intervals"]
    same = sam_ft("evaluate", "compare", "a", "b", "--output", "ab")
    assert same.code == 0, same.err
    assert "exactly the same clicks" in same.out and "1 click" in same.out
    written = {"compare.json", "compare.md", "compare.tex", "index.html"}
    assert {path.name for path in (tmp_path / "ab").iterdir()} == written
    other = sam_ft("compare", "a", "own")
    assert other.code == 0 and "The clicks differ" in other.out
    for seed in ("0", "1"):
        random = ["protocol=interactive", "protocol.first_click=random", f"protocol.seed={seed}", f"output=seed{seed}"]
        assert sam_ft("evaluate", "checkpoint=run/best.ckpt", *random, "part=val", "pictures=0", *data).code == 0
    assert "placed by one rule" in one_line(sam_ft("compare", "seed0", "seed1"))
    table = sam_ft("evaluate", "table", "before=other_sam", "after=a", "--output", "table")
    assert "other_sam" in one_line(table)
    table = sam_ft("evaluate", "table", "before=b", "after=own", "drawn=seed1", "--output", "table")
    assert table.code == 0, table.err
    assert {path.name for path in (tmp_path / "table").iterdir()} == {"table.md", "table.tex", "table.json"}
    assert "| before | interactive, clicks=recorded, 5 at most |" in table.out
    assert "| after | interactive, clicks=centre, 5 at most |" in table.out
    assert "| drawn | interactive, clicks=random (seed 1), 5 at most |" in table.out
    seeds = sam_ft("table", "zero=seed0", "one=seed1", "--figures", "miou@1,miou@box")
    assert "| zero | interactive, clicks=random (seed 0), 5 at most |" in seeds.out
    assert "12 images of part=val" in table.out and "mIoU, box, best of three" in table.out
    nothing = sam_ft("compare", "a", "again/records.csv")
    assert "+0.000" not in nothing.out and "no clear difference" in nothing.out


MANY = ["data=synthetic", "data.num_train=1", "data.num_val=7", "data.num_test=0", "data.image_size=64", "part=val"]
SHORT = ["checkpoint=run/best.ckpt", "clicks=[1,2]", "pictures=2", "batch_size=2", *MANY]


def without_command(page: Path) -> str:
    return re.sub(r"sam-ft evaluate [^<]*", "", page.read_text())


def test_two_processes_give_the_same_figures_records_and_page_as_one(
    sam_ft: Program, run: Path, tmp_path: Path
) -> None:
    for name, given in (("one", ["processes=1"]), ("two", ["processes=2"])):
        done = sam_ft("evaluate", *SHORT, f"output={name}", *given)
        assert done.code == 0, done.err
        assert "7/7" in done.err
    one, two = tmp_path / "one", tmp_path / "two"
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    assert json.loads((one / "summary.json").read_text()) == json.loads((two / "summary.json").read_text())
    assert read_records(one) == read_records(two)
    assert without_command(one / "index.html") == without_command(two / "index.html")


def test_shares_are_measured_in_any_order_and_then_put_together(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    for share in ("3/3", "1/3", "2/3"):
        done = sam_ft("evaluate", *SHORT, "output=shares", f"shard={share}")
        assert done.code == 0, done.err
        assert [path.name for path in (tmp_path / "shares").iterdir()] == ["unfinished"]
    whole = sam_ft("evaluate", *SHORT, "output=shares")
    assert whole.code == 0 and not (tmp_path / "shares" / "unfinished").exists()
    assert sam_ft("evaluate", *SHORT, "output=alone").code == 0
    assert read_records(tmp_path / "shares") == read_records(tmp_path / "alone")


def test_a_kill_while_thresholds_are_fitted_repeats_no_measuring(
    sam_ft: Program, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [*(each for each in SHORT if not each.startswith("pictures")), "pictures=0", "output=eval", "thresholds=1"]
    with monkeypatch.context() as patched:
        patched.setattr("sam_ft.lightning.generator_thresholds.fit_thresholds", killed)
        stopped = sam_ft("evaluate", *given)
    assert stopped.code == 130 and stopped.err.splitlines()[-1].startswith("Interrupted. What is measured is kept")
    journal = tmp_path / "eval" / "unfinished" / "1.jsonl"
    assert len(journal.read_bytes().splitlines()) == 1 + 7
    monkeypatch.setattr("sam_ft.evaluation.asking.interactive._ask_batch", killed)
    done = sam_ft("evaluate", *given)
    assert done.code == 0 and "7 of 7 images were measured before and are taken over." in done.out
    assert (tmp_path / "eval" / "thresholds.json").exists() and not journal.parent.exists()


def killed(*given: object, **named: object) -> None:
    raise KeyboardInterrupt


def test_what_goes_wrong_in_a_process_is_said_in_one_line(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    (tmp_path / "eval" / "unfinished").mkdir(parents=True)
    (tmp_path / "eval" / "unfinished" / "1.jsonl").mkdir()
    err = sam_ft("evaluate", *SHORT, "output=eval", "processes=2").err.splitlines()[-1]
    assert err.startswith("sam-ft: Expected all 2 processes to finish, but number 1 ended") and "1.jsonl" in err


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["processes=0"], "Expected `processes` to be"),
        (["shard=3/2"], "such as 1/4"),
    ],
)
def test_shares_that_cannot_be_are_refused(sam_ft: Program, run: Path, given: list[str], reason: str) -> None:
    common = ["checkpoint=run/best.ckpt", "output=eval", "part=val", *MANY]
    assert reason in one_line(sam_ft("evaluate", *common, *given))


def test_another_protocol_is_shared_too_in_a_folder_that_is_named_by_the_time(
    sam_ft: Program, run: Path, tmp_path: Path
) -> None:
    """Each process would come to another name."""
    given = ["protocol=automatic", "protocol.points_per_side=4", "protocol.stability_score_thresh=0"]
    common = ["checkpoint=run/best.ckpt", "pictures=2", "batch_size=2", *given, *MANY]
    for output in ("one", '"it\'s ${now:%f}"'):
        done = sam_ft("evaluate", *common, f"output={output}", f"processes={1 if output == 'one' else 2}")
        assert done.code == 0, done.err
    [two] = [path for path in tmp_path.iterdir() if path.name.startswith("it's")]
    assert "7/7" in done.err and {path.name for path in tmp_path.iterdir()} == {"run", "one", two.name}
    assert {path.name for path in two.iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    for name in ("summary.json", "objects.csv"):
        assert (two / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_share_of_another_measurement_is_dropped_with_a_word(
    sam_ft: Program, run: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["data=image_mask", f"data.root={image_folder}", "part=train", "clicks=[1]"]
    common = ["checkpoint=run/best.ckpt", *data, "protocol=interactive"]
    assert sam_ft("evaluate", *common, "output=clicks", "pictures=0").code == 0

    def said(*given: str) -> str:
        done = sam_ft("evaluate", *common, "output=eval", "protocol.clicks_from=clicks", "shard=1/2", *given)
        assert done.code == 0, done.err
        [line] = [line for line in done.out.splitlines() if "dropped" in line] or [""]
        return line.rpartition("measured with ")[2]

    assert said() == said("protocol.records=parquet", "pictures=1", "num_workers=1") == ""
    records = read_records(tmp_path / "clicks")
    write_records(tmp_path / "clicks" / "records.csv", [replace(each, predicted_iou=0.5) for each in records])
    assert said() == "another protocol.clicks_from." and said() == ""
    for label in (image_folder / "labels").iterdir():
        os.utime(label, (0, 0))
    assert said("batch_size=2") == "another batch_size, samples." and said("batch_size=2") == ""
    monkeypatch.setattr(metadata, "version", lambda name: "0.0")
    assert said("batch_size=2") == "another version."


def test_evaluations_that_cannot_be_compared_are_refused_in_one_line(sam_ft: Program, tmp_path: Path) -> None:
    record = MaskRecord("a", 0, "object", 9, "box", 0, 0.5, 0.5)
    for name in ("a", "b"):
        write_records(tmp_path / name / "records.csv", [replace(record, image=name)])
    assert "a alone has 1" in one_line(sam_ft("compare", "a", "b"))
    assert "nowhere" in one_line(sam_ft("evaluate", "compare", "a", "nowhere"))
    assert "got a twice" in one_line(sam_ft("compare", "a", "a"))


def test_evaluate_fits_the_thresholds_of_the_mask_generator(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    done = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", "clicks=[1]", "pictures=0", "thresholds=2")
    assert done.code == 0, done.err
    written = json.loads((tmp_path / "eval" / "thresholds.json").read_text())
    assert written["num_images"] == 2 and 0 <= written["defaults"]["score"] <= written["score"] <= 1
    assert f"pred_iou_thresh {written['pred_iou_thresh']:g}" in done.out and ", thresholds.json" in done.out


def test_evaluate_measures_what_the_model_finds_by_itself(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    given = ["protocol=automatic", "protocol.points_per_side=4", "pictures=1"]
    loose = ["protocol.pred_iou_thresh=0", "protocol.stability_score_thresh=0"]
    done = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", *given, *loose)
    assert done.code == 0, done.err
    tables = {"summary.md", "summary.tex"}
    assert {path.name for path in (tmp_path / "eval").iterdir()} == {
        "summary.json",
        "objects.csv",
        "index.html",
        *tables,
    }
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    test = Synthetic.splits(1, num_val=1, num_test=2, image_size=64).test
    assert test is not None
    num_objects = sum(len(test[index].masks) for index in range(2))
    assert (summary["num_images"], summary["num_objects"]) == (2, num_objects)
    assert 0 < summary["num_masks"] == summary["filters"]["selected"] <= 2 * 48
    for key in ("ar@10", "ar@1000", "msa", "ap", "pq"):
        assert 0 <= summary[key] <= 1 and f"{summary[key]:.4f}" in done.out
    with (tmp_path / "eval" / "objects.csv").open() as file:
        assert len(list(csv.DictReader(file))) == num_objects
    assert "sam-ft evaluate checkpoint=run/best.ckpt" in (tmp_path / "eval" / "index.html").read_text()


def test_the_mask_generator_takes_the_thresholds_of_a_run_but_for_those_that_are_given(
    sam_ft: Program, run: Path, tmp_path: Path
) -> None:
    found = {"pred_iou_thresh": 0.25, "stability_score_thresh": 0.5, "box_nms_thresh": 0.6}
    (tmp_path / "thresholds.json").write_text(json.dumps({**found, "score": 0.1}))
    given = ["protocol=automatic", "protocol.points_per_side=2", "protocol.thresholds_file=thresholds.json"]
    done = sam_ft(
        "evaluate", "checkpoint=run/best.ckpt", "output=eval", "pictures=0", *given, "protocol.pred_iou_thresh=9"
    )
    assert done.code == 0, done.err
    assert "leave none of 24 masks" in done.out and "thresholds=50" in done.out
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["settings"] == {"points_per_side": 2, **found, "pred_iou_thresh": 9}
    # of several folds each may have thresholds of its own
    assert summary["measured"]["settings"] == {"points_per_side": 2, "image_size": 64}
    assert summary["num_masks"] == summary["msa"] == 0 < summary["num_proposals"]


def test_weights_beside_the_config_of_their_training_know_their_data(
    sam_ft: Program, run: Path, tmp_path: Path
) -> None:
    for number, checkpoint in enumerate(("run/best.ckpt", "run/model.safetensors")):
        done = sam_ft("evaluate", f"checkpoint={checkpoint}", f"output=eval{number}", "clicks=[1]", "pictures=0")
        assert done.code == 0, done.err
    first, second = (json.loads((tmp_path / f"eval{number}" / "summary.json").read_text()) for number in (0, 1))
    assert first["measured"].pop("checkpoint") == "run/best.ckpt"
    assert second["measured"].pop("checkpoint") == "run/model.safetensors"
    assert first == second


def test_a_part_that_the_data_set_lacks_lists_those_it_has(sam_ft: Program, run: Path, tmp_path: Path) -> None:
    data = ["data=synthetic", "data.num_train=1", "data.num_val=1", "data.num_test=0"]
    message = one_line(sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", *data))
    assert "(train, val)" in message and "test" in message
    assert not (tmp_path / "eval").exists()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "checkpoint=... output=..."),
        (["checkpoint=run/best.ckpt"], "add output=..."),
        (["checkpoint=nowhere.ckpt", "output=eval"], "nowhere.ckpt"),
        (["checkpoint=.", "output=eval"], "model.safetensors, but . has none"),
        (["checkpoint=run/config.yaml", "output=eval"], "run/config.yaml"),
        (["checkpoint=run/best.ckpt", "output=eval", "part=tset"], "train, val, test"),
        (["checkpoint=run/best.ckpt", "output=eval", "prat=val"], "Did you mean `part`?"),
        (["checkpoint=run/best.ckpt", "output=eval", "protocol=semantic"], "task=semantic"),
        ([*INTERACTIVE, "protocol.first_click=top"], "centre, random, centre_of_mass"),
        ([*INTERACTIVE, "protocol.box=1"], "`box` to be true"),
        ([*INTERACTIVE, "protocol.clicks_from=x"], "x to be a file"),
        ([*INTERACTIVE, "protocol.records=xls"], "csv, parquet"),
        ([*AUTOMATIC, "protocol.thresholds_file=nowhere.json"], "nowhere.json"),
        ([*AUTOMATIC, "protocol.thresholds_file=run/other.json"], "pred_iou_thresh in run/other.json"),
        ([*AUTOMATIC, "protocol.points_per_side=0"], "points_per_side"),
        ([*AUTOMATIC, "protocol.box_nms_thresh=much"], "box_nms_thresh"),
        (["checkpoint=run/best.ckpt", "output=eval", "data=nifty"], "Did you mean `nifti`?"),
        (["checkpoint=run/best.ckpt", "output=eval", "data.images=a"], "Expected a choice of `data`"),
        (["checkpoint=run/best.ckpt", "output=eval", "data=nifti"], "data.images=... data.labels=..."),
        (["checkpoint=run/best.ckpt", "output=eval", "image_size=60"], "patch size 16"),
        (["checkpoint=run/best.ckpt", "output=eval", "clicks=5"], "such as [1, 3, 5]"),
        (["checkpoint=run/best.ckpt", "output=eval", "clicks=[0]"], "such as [1, 3, 5]"),
        ([*AUTOMATIC, "clicks=[1]"], "asks with none: protocol=interactive does"),
        ([*AUTOMATIC[:2], "protocol=volumes", "clicks=[3]"], "protocol.clicks=... with protocol.prompt=click"),
        ([*AUTOMATIC[:2], "protocol=segment_anything_fast", "clicks=[1,3]"], "give protocol.clicks=..."),
        ([*INTERACTIVE, "protocol.clicks=[1]", "clicks=[3]"], "give protocol.clicks=..."),
        ([*AUTOMATIC[:2], "protocol=volumes", "protocol.clicks=3"], "protocol.prompt=click for protocol.clicks=3"),
        (["checkpoint=run/best.ckpt", "output=eval", "batch_size=0"], "batch_size"),
        (["checkpoint=run/best.ckpt", "output=eval", "pictures=many"], "pictures"),
        (["checkpoint=run/best.ckpt", "output=eval", "thresholds=-1"], "thresholds"),
        (["checkpoint=run/best.ckpt", "output=run/config.yaml"], "run/config.yaml is a file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    sam_ft: Program, run: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (run / "other.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    message = one_line(sam_ft("evaluate", *arguments))
    assert expected in message, message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_checkpoint_without_a_config_asks_for_data(sam_ft: Program, tmp_path: Path) -> None:
    save_meta(build_model("vit_tiny", image_size=64), tmp_path / "sam.pth")
    message = one_line(sam_ft("evaluate", "checkpoint=sam.pth", "output=eval"))
    assert "data=nifti data.images=..." in message
    assert {path.name for path in tmp_path.iterdir()} == {"sam.pth"}


def test_an_image_that_cannot_be_decoded_is_named(
    sam_ft: Program, run: Path, image_folder: Path, tmp_path: Path
) -> None:
    for path in sorted((image_folder / "images").iterdir()):
        path.write_bytes(path.read_bytes()[:-30])
    done = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=eval", "data=image_mask", f"data.root={image_folder}")
    assert done.code == 2
    assert "images/" in done.err.splitlines()[-1] and "Traceback" not in done.err
    assert not (tmp_path / "eval").exists()
