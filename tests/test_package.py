"""What a user installs: the wheel holds the programs and configs, and works from any folder."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# A training of one step that the installed program must manage from an empty folder, and where it writes.
FIT_OVERRIDES = [
    "data=synthetic",
    "data.num_train=2",
    "data.num_val=1",
    "model.image_size=64",
    "trainer.max_steps=1",
    "trainer.val_check_interval=1",
    "monitoring.wandb=disabled",
    "output=run",
]
FIT_OUTPUT = "run"
FIT_WRITES = ["best.ckpt", "last.ckpt", "model.safetensors", "config.yaml"]


def run(*command: str | Path, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program outside the checkout's reach; its output is in the result."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a new environment that has the wheel and sees the packages of this one."""
    environment = tmp_path_factory.mktemp("environment")
    made = run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    assert made.returncode == 0, made.stderr
    programs = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "--disable-pip-version-check"]
    done = run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    borrowed = environment / "lib" / version / "site-packages" / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_holds_the_programs_and_configs_inside_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    expected = [
        f"sam_ft/{path.relative_to(ROOT)}"
        for folder, pattern in [("train", "*.py"), ("datasets", "*.py"), ("configs", "*.yaml")]
        for path in (ROOT / folder).rglob(pattern)
    ]
    assert expected
    assert [name for name in expected if name not in names] == []


def test_the_wheel_holds_one_package_and_no_leftovers(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"sam_ft", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    assert [name for name in names if "__pycache__" in name or "/tests/" in name] == []


def test_the_installed_program_runs_the_wheel_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "python", "-c", "import sam_ft.cli; print(sam_ft.cli.find_configs())", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_relative_to(installed.parent.resolve())


def test_the_installed_program_tells_its_commands_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "sam-ft", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "usage: sam-ft COMMAND" in result.stdout


def test_the_installed_fit_tells_its_overrides_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "sam-ft", "fit", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "data" in result.stdout


def test_the_installed_fit_trains_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "sam-ft", "fit", *FIT_OVERRIDES, cwd=tmp_path, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [name for name in FIT_WRITES if not (tmp_path / FIT_OUTPUT / name).is_file()] == []


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> Iterator[Requirement]:
    """What the project itself asks for, without and with the named extras."""
    texts = [
        *project()["dependencies"],
        *(text for name in extras for text in project()["optional-dependencies"][name]),
    ]
    return map(Requirement, texts)


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def closure(roots: list[Requirement]) -> set[str]:
    """Names of everything that the installed distributions require, directly or indirectly."""
    found: set[str] = set()
    waiting = [(root, "") for root in roots]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name in found and not requirement.extras:
            continue
        found.add(name)
        try:
            texts = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        wanted = ["", *requirement.extras]
        waiting += [(Requirement(text), one) for text in texts for one in wanted]
    return found


def test_nothing_that_the_project_needs_asks_for_torchvision() -> None:
    names = closure(list(requirements(*project()["optional-dependencies"])))
    assert {"torch", "sympy"} <= names  # sympy comes through torch: the walk goes deeper than the first level
    assert "torchvision" not in names
    assert "torchvision" not in pins()


def test_the_constraints_pin_every_direct_requirement_to_one_tested_version() -> None:
    pinned = pins()
    assert all(re.fullmatch(r"[\w.]+", version) for version in pinned.values())
    for requirement in requirements("demo", "dev"):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but {version} is pinned"


def test_the_constraints_pin_everything_that_the_direct_requirements_bring() -> None:
    assert closure(list(requirements("demo", "dev"))) - set(pins()) == set()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_full_install_under_the_constraints_works_without_torchvision(wheel: Path, tmp_path: Path) -> None:
    made = run(sys.executable, "-m", "venv", tmp_path / "environment", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    python = tmp_path / "environment" / "bin" / "python"
    target = f"sam-ft[demo,dev] @ {wheel.as_uri()}"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", target]
    done = run(*install, cwd=tmp_path, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = run(python, "-m", "pip", "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    listed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).stdout
    assert "sam-ft==" in listed
    assert "torchvision" not in listed
    assert run(python.parent / "sam-ft", "--help", cwd=tmp_path).returncode == 0
