"""The house's rules that a linter does not know: who imports whom, and how long things are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "sam_ft").rglob("*.py"))
PROGRAMS = sorted((ROOT / "train").rglob("*.py")) + sorted((ROOT / "datasets").rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

TRAINING_PACKAGES = {"pytorch_lightning", "lightning", "hydra", "omegaconf", "wandb", "deepspeed", "transformers"}
NOT_IMPORTABLE = {"train", "datasets", "tests"}
MAY_PRINT = {ROOT / "sam_ft" / "cli.py"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_packages(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level name and line of every import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0], node.lineno


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def breaches(source: str, *, may_train: bool = False, may_print: bool = False) -> list[str]:
    """What a module of the library does that none may do, as `line: what`."""
    tree = ast.parse(source)
    found = []
    for package, line in imported_packages(tree):
        if package in NOT_IMPORTABLE or (package in TRAINING_PACKAGES and not may_train):
            found.append(f"{line}: imports {package}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert")
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append(f"{node.lineno}: bare except")
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if is_print and not may_print:
            found.append(f"{node.lineno}: print")
    return found


def lengths_beyond(source: str) -> list[str]:
    """The file and the functions that are too long."""
    found = [] if len(source.splitlines()) <= MAX_FILE_LINES else [f"file of {len(source.splitlines())} lines"]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_FUNCTION_LINES:
            found.append(f"{node.lineno}: {node.name} of {body_lines(node)} lines")
    return found


def test_an_upper_floor_imports_lower_ones_and_never_the_other_way() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([program, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_a_module_of_the_library_does_nothing_that_none_may(path: Path) -> None:
    in_lightning = path.is_relative_to(ROOT / "sam_ft" / "lightning")
    assert breaches(path.read_text(), may_train=in_lightning, may_print=path in MAY_PRINT) == []


@pytest.mark.parametrize("path", LIBRARY + PROGRAMS, ids=name_of)
def test_files_and_functions_stay_short(path: Path) -> None:
    assert lengths_beyond(path.read_text()) == []


@pytest.mark.parametrize("folder", ["train", "datasets"])
def test_a_folder_of_programs_is_no_package(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_every_folder_of_the_library_is_a_package() -> None:
    folders = {path.parent for path in LIBRARY}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        ("import wandb", "1: imports wandb"),
        ("def f():\n    from pytorch_lightning.loggers import CSVLogger", "2: imports pytorch_lightning"),
        ("from datasets import brain_icbm152", "1: imports datasets"),
        ("assert True", "1: assert"),
        ("try:\n    pass\nexcept:\n    pass", "3: bare except"),
        ("print(1)", "1: print"),
    ],
)
def test_the_rules_find_a_breach(source: str, breach: str) -> None:
    assert breaches(source) == [breach]


def test_lightning_may_be_imported_where_it_belongs() -> None:
    assert breaches("import pytorch_lightning", may_train=True) == []


def test_a_long_function_and_a_long_file_are_found() -> None:
    function = "def f():\n" + '    """Does."""\n' + "    x = 1\n" * (MAX_FUNCTION_LINES + 1)
    assert lengths_beyond(function) == [f"1: f of {MAX_FUNCTION_LINES + 1} lines"]
    assert lengths_beyond("x = 1\n" * (MAX_FILE_LINES + 1)) == [f"file of {MAX_FILE_LINES + 1} lines"]
