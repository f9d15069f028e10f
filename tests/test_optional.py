from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam_ft.optional import MissingPackageError, require


def test_an_installed_module_is_returned() -> None:
    assert require("json", extra="demo") is json


def test_a_submodule_is_returned_itself() -> None:
    assert require("json.decoder", extra="demo") is json.decoder


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_names_the_extra_that_installs_it(module: str) -> None:
    with pytest.raises(MissingPackageError) as caught:
        require(module, extra="export")
    message = str(caught.value)
    assert "`no_such_package`" in message
    assert 'pip install "sam-ft[export]"' in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", [ImportError, ValueError])
def test_the_error_is_caught_as_an_import_error_and_as_a_user_error(kind: type[Exception]) -> None:
    with pytest.raises(kind):
        require("no_such_package", extra="demo")


def test_a_package_that_lacks_its_own_dependency_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("import its_missing_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="its_missing_dependency") as caught:
        require("broken_package", extra="demo")
    assert not isinstance(caught.value, MissingPackageError)
