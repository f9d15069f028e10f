from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from sam_ft.lightning import FitResult, Monitoring
from sam_ft.lightning.logs import csv_logger


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_resumed_log_keeps_what_was_before_and_drops_what_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("a,step\n0.1,0\n0.2,1\n0.3,2\n")
    logger = csv_logger(tmp_path, steps_done=2)
    assert [row["step"] for row in read(tmp_path / "metrics.csv")] == ["0", "1"]
    logger.log_metrics({"b": 0.5}, step=2)
    logger.save()
    assert read(tmp_path / "metrics.csv") == [
        {"a": "0.1", "b": "", "step": "0"},
        {"a": "0.2", "b": "", "step": "1"},
        {"a": "", "b": "0.5", "step": "2"},
    ]


@pytest.mark.parametrize("steps_done", [None, 5])
def test_a_logger_writes_nothing_before_there_is_something(tmp_path: Path, steps_done: int | None) -> None:
    csv_logger(tmp_path / "run", steps_done=steps_done)
    assert list(tmp_path.iterdir()) == []


def test_offline_runs_of_wandb_lie_in_the_run_folder_and_are_closed(
    quick_fit: Callable[..., FitResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import wandb

    monkeypatch.chdir(tmp_path)
    monitoring = Monitoring(wandb="offline", pictures=0)
    result = quick_fit(tmp_path / "run", monitoring=monitoring, config={"seed": 3}, max_steps=2)
    assert wandb.run is None
    assert "Run history" not in capfd.readouterr().err  # silent while nothing leaves the machine
    (folder,) = (result.output / "wandb").glob("offline-run-*")
    assert list(folder.glob("run-*.wandb"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
