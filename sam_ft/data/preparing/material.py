"""`Material`: where the files of a data set lie before they are converted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEEPEST = 5


@dataclass(frozen=True)
class Material:
    """Unpacked archives, single files and folders that people have already.

    Args:
        roots: These folders and files.
        hint: What to fetch and how to give it, for the error where something is missing.
    """

    roots: tuple[Path, ...]
    hint: str = ""

    def folder_with(self, *names: str) -> Path:
        """The topmost folder that holds all these names, such as ("images", "masks").

        Raises:
            ValueError: There is none.
        """
        found = self.maybe_folder_with(*names)
        if found is None:
            raise ValueError(self.missing(f"a folder with {' and '.join(names)}"))
        return found

    def maybe_folder_with(self, *names: str) -> Path | None:
        """The same; None where there is none."""
        for folder in self.folders():
            if all((folder / name).exists() for name in names):
                return folder
        return None

    def file(self, name: str) -> Path:
        """The file of this name.

        Raises:
            ValueError: There is none.
        """
        for root in self.roots:
            if root.is_file() and root.name == name:
                return root
        return self.folder_with(name) / name

    def folders(self) -> Iterator[Path]:
        """All folders, the upper ones first, in the order of their names; links are not followed."""
        level = [root for root in self.roots if root.is_dir()]
        for _ in range(_DEEPEST):
            yield from level
            level = [child for folder in level for child in sorted(folder.iterdir()) if _is_own_folder(child)]

    def files(self, *endings: str) -> list[Path]:
        """All files with one of these endings, in the order of their paths."""
        own = [root for root in self.roots if root.is_file()]
        inside = [path for folder in self.folders() for path in folder.iterdir() if path.is_file()]
        return sorted(path for path in [*own, *inside] if path.name.lower().endswith(endings) and path.name[0] != ".")

    def missing(self, what: str) -> str:
        """The message of an error: what was expected, where it was looked for, what to do."""
        places = ", ".join(map(str, self.roots)) or "no source"
        return f"Expected {what} in {places}, but found none. {self.hint}".rstrip()


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and path.name != "__MACOSX"
