"""What lies in somebody's folder, without what a system or an editor left there."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEPTH = 4
"""Levels of folders that are looked into."""
LITTER = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found",
    "@eadir", "__pycache__", "icon\r",
}  # fmt: skip
"""Names, in lower case, of what Windows, macOS, storage servers and Python leave behind; hidden ones begin with a dot."""


@dataclass(frozen=True)
class Folder:
    """A folder, its files and its folders, each in the order of the numbers in their names."""

    path: Path
    files: list[Path]
    folders: list["Folder"]

    def all(self) -> Iterator["Folder"]:
        """This folder, and then those below it."""
        yield self
        for folder in self.folders:
            yield from folder.all()

    def named(self, name: str) -> Path | None:
        """The file of that name, in capitals or not."""
        return next((file for file in self.files if file.name.casefold() == name), None)


def look(path: Path, depth: int = DEPTH, above: frozenset[Path] = frozenset()) -> Folder:
    """What is in a folder; a link to a folder above it is not followed.

    Raises:
        OSError: a folder cannot be read.
    """
    above |= {path.resolve()}
    inside = sorted(filter(_counts, path.iterdir()), key=natural)
    below = [one for one in inside if one.is_dir() and one.resolve() not in above] if depth else []
    return Folder(path, [one for one in inside if one.is_file()], [look(one, depth - 1, above) for one in below])


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.casefold() not in LITTER


def natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_10 behind frame_9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def told(files: Iterable[Path]) -> str:
    """How many files there are of each kind, with the names of a few: '3 .mp4 (a.mp4, ...), 1 .csv (actions.csv)'."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in files:
        kinds[file.suffix or "without a suffix"].append(file.name)
    shown = [
        f"{len(names)} {suffix} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for suffix, names in sorted(kinds.items(), key=lambda item: -len(item[1]))
    ]
    return ", ".join([*shown[:6], *(["..."] if len(shown) > 6 else [])]) or "nothing"
