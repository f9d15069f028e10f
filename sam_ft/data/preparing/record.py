"""What a prepared folder says of itself: dataset.json for programs, README.md for people."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_ft.files import atomic_write, write_json

if TYPE_CHECKING:
    from sam_ft.data.preparing.recipe import Recipe

_logger = logging.getLogger(__name__)

FILE = "dataset.json"
_BEGUN = ".preparing.json"
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Record:
    """A prepared data set.

    Args:
        folder: Where it is.
        content: What dataset.json says.
        is_new: Whether it has just been made; False: it was there already.
    """

    folder: Path
    content: Mapping[str, Any]
    is_new: bool

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Part -> how many of what."""
        return self.content["parts"]

    @property
    def fit_command(self) -> str:
        """The command to go on with."""
        return fit_command(self.content["fit"], self.folder)


def fit_command(template: str, folder: Path) -> str:
    """`sam-ft fit ...` for a folder; what the shell would take apart is in quotes."""
    words = [word.replace("{root}", str(folder)) for word in shlex.split(template)]
    return shlex.join(["sam-ft", "fit", *words])


def read_record(recipe: Recipe, folder: Path, *, limit: int | None) -> Record | None:
    """The data set that is in a folder already; None if it has to be made, or finished.

    Raises:
        ValueError: The folder holds something else, or the data set with another limit.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    done = (folder / FILE).is_file()
    content = _read(folder / (FILE if done else _BEGUN))
    if content is None or content.get("name") != recipe.name:
        raise ValueError(f"Expected room for {recipe.name}, but {folder} holds something else: give another --output.")
    if not done:
        return None
    if content.get("limit") != limit:
        made = "without --limit" if content.get("limit") is None else f"with --limit {content.get('limit')}"
        raise ValueError(f"Expected the same --limit as before, but {folder} was made {made}: give another --output.")
    return Record(folder, content=content, is_new=False)


def write_begun(recipe: Recipe, folder: Path, *, limit: int | None, sources: Sequence[Path]) -> None:
    """Say whose folder it is, so that a later call may go on.

    Raises:
        ValueError: Files are there already that were made from another source or with another limit.
    """
    order = {"name": recipe.name, "limit": limit, "sources": [str(source.absolute()) for source in sources]}
    begun = _read(folder / _BEGUN) or {}
    if any((folder / part).is_dir() for part in PARTS) and begun | order != begun:
        raise ValueError(
            f"Expected to go on with the same --source and --limit, but {folder} was begun with others: give another "
            "--output, or remove it."
        )
    write_json(folder / _BEGUN, begun | order)


def note_files(folder: Path, files: Mapping[str, str]) -> None:
    """Note the published files that the parts are made from; parts that were begun with others are removed.

    Args:
        folder: Of the data set; `write_begun` has said so.
        files: Name -> checksum.
    """
    begun = _read(folder / _BEGUN) or {}
    if begun.get("files", files) != files:
        for part in PARTS:
            if (folder / part).is_dir():
                _logger.warning("%s was begun from other files, and is made anew.", folder / part)
                shutil.rmtree(folder / part)
    write_json(folder / _BEGUN, begun | {"files": dict(files)})


def write_record(
    recipe: Recipe,
    folder: Path,
    *,
    limit: int | None,
    counts: Mapping[str, Mapping[str, int]],
    files: Mapping[str, str],
    sources: Sequence[Path],
) -> Record:
    """Writes dataset.json and README.md, which ends the preparation.

    Args:
        recipe: What was prepared.
        folder: Where.
        limit: What it was limited to.
        counts: Part -> how many of what.
        files: Name -> checksum of the published files that were used.
        sources: What was taken instead of a download.
    """
    published = {file.name: file for file in recipe.files}
    content = {
        "name": recipe.name,
        "title": recipe.title,
        "homepage": recipe.homepage,
        "licence": recipe.licence,
        "citation": recipe.citation,
        "splits": recipe.splits,
        "limit": limit,
        "parts": counts,
        "sources": [str(source) for source in sources],
        "files": [
            {
                "name": name,
                "url": published[name].url if name in published else None,
                "checksum": checksum,
                "published_checksum": published[name].checksum if name in published else None,
            }
            for name, checksum in files.items()
        ],
        "fit": recipe.fit,
        "sam_ft": version("sam-ft"),
    }
    with atomic_write(folder / "README.md") as partial:
        partial.write_text(_readme(content, folder), encoding="utf-8")
    write_json(folder / FILE, content)
    (folder / _BEGUN).unlink(missing_ok=True)
    return Record(folder, content=content, is_new=True)


def _readme(content: Mapping[str, Any], folder: Path) -> str:
    parts = [
        f"- {part}: {', '.join(f'{n} {what}' for what, n in held.items())}" for part, held in content["parts"].items()
    ]
    files = [
        f"- {file['name']}: {file['checksum']} "
        f"({'as published' if file['published_checksum'] else 'no checksum is published'})"
        for file in content["files"]
    ]
    lines = [
        f"# {content['title']}",
        "",
        f"Prepared by sam-ft {content['sam_ft']} (`sam-ft prepare {content['name']}`) from {content['homepage']}.",
        "",
        f"Licence: {content['licence']}",
        "",
        f"Cite: {content['citation']}",
        "",
        "## Parts",
        "",
        *parts,
        "",
        content["splits"],
        *([f"At most {content['limit']} for each part."] if content["limit"] is not None else []),
        "",
        "## Made from",
        "",
        *(files or [f"- {source}" for source in content["sources"]] or ["- an installed Python package"]),
        "",
        "## Train on it",
        "",
        f"    {fit_command(content['fit'], folder)}",
        "",
    ]
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
