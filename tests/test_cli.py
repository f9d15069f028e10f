from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sam_ft import cli

PROGRAM = """
import os
import sys

if __name__ == "__main__":
    print("argv", sys.argv[1:])
    print("file", __file__ == sys.argv[0])
    print("updates off", os.environ.get("NO_ALBUMENTATIONS_UPDATE"))
    sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that stands in for train/."""
    (tmp_path / "fit.py").write_text(PROGRAM)
    monkeypatch.setattr(cli, "find_folder", lambda name: tmp_path)
    monkeypatch.setattr(sys, "argv", ["sam-ft"])
    return tmp_path


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sam-ft {version('sam-ft')}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_with_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert any(line.split() == [name, *command.help.split()] for line in out.splitlines())


def test_every_command_of_the_table_has_a_program() -> None:
    for name in cli.COMMANDS:
        text = cli.find_program(name).read_text()
        assert 'if __name__ == "__main__":' in text


def test_every_program_has_a_command() -> None:
    programs = {path.name for path in cli.find_folder("train").glob("*.py")}
    assert programs == {command.program for command in cli.COMMANDS.values()}


def test_a_typing_error_gets_the_nearest_command_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evalute", "checkpoint=x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Did you mean `evaluate`?" in captured.err
    assert all(name in captured.err for name in cli.COMMANDS)


def test_an_unlikely_command_gets_the_known_ones_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["xyz"]) == 2
    err = capsys.readouterr().err
    assert "`xyz`" in err
    assert "Did you mean" not in err


def test_the_program_sees_its_own_path_and_the_overrides(
    programs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    with pytest.raises(SystemExit) as leaving:
        cli.main(["fit", "data=nifti", "--help", "3"])
    assert leaving.value.code == 3
    assert capsys.readouterr().out.splitlines() == [
        "argv ['data=nifti', '--help', '3']",
        "file True",
        "updates off 1",
    ]
    assert sys.argv[0] == str(programs / "fit.py")


def test_albumentations_may_ask_for_updates_where_the_user_says_so(
    programs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "0")
    with pytest.raises(SystemExit):
        cli.main(["fit", "0"])
    assert "updates off 0" in capsys.readouterr().out


def test_a_missing_program_file_is_one_line_and_exit_code_2(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (programs / "fit.py").unlink()
    assert cli.main(["fit"]) == 2
    err = capsys.readouterr().err
    assert str(programs / "fit.py") in err
    assert err.count("\n") == 1


def test_the_folder_inside_the_package_comes_before_the_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sam_ft"
    package.mkdir()
    monkeypatch.setattr(cli, "__file__", str(package / "cli.py"))
    with pytest.raises(ValueError, match="`configs`"):
        cli.find_configs()
    (tmp_path / "configs").mkdir()
    assert cli.find_configs() == tmp_path / "configs"
    (package / "configs").mkdir()
    assert cli.find_configs() == package / "configs"
